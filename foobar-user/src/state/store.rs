//! The state folder: `state.json`, `lists/` for replaced lists that are too long for it, `configurations/` for copies of the
//! configuration.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    Configured, Problem,
    disk::{self, Disk, LocalDisk},
    document,
    saved::{ListFile, LongList, State, Stored},
};
use crate::policy::PrefixSet;

/// Name of the document.
const FILE: &str = "state.json";
/// Folder of the long lists.
const LISTS: &str = "lists";
/// Folder of the copies of configurations.
const CONFIGURATIONS: &str = "configurations";

/// The state folder of one daemon, which holds its lock.
pub struct Store {
    folder: PathBuf,
    disk: Box<dyn Disk>,
    /// Long lists that are on disk, so that they are written once.
    written: Vec<(Arc<PrefixSet>, ListFile)>,
    /// The document as it is on disk, to be put back if a new one cannot be made durable.
    current: Option<Vec<u8>>,
    /// Copies of configurations that the document names.
    kept: HashSet<String>,
    /// Held as long as this exists.
    _lock: fs::File,
}

impl Store {
    /// Whether an earlier daemon left something there.
    pub fn is_there(folder: &Path) -> bool {
        fs::symlink_metadata(folder.join(FILE)).is_ok()
    }

    /// What the last daemon left, without lists that have files of their own; also while a daemon holds the folder.
    ///
    /// # Errors
    /// Any [`Problem`].
    pub fn look(folder: &Path) -> Result<State, Problem> {
        let path = folder.join(FILE);
        let missing = || Problem::Damaged { path: path.clone(), why: "it is missing".to_owned() };
        let bytes = disk::read(&path)?.ok_or_else(missing)?;
        document::decode::<Stored>(&path, &bytes).map(|stored| stored.state)
    }

    /// Opens a state folder, creates it where it is missing, and locks it.
    ///
    /// # Errors
    /// The folder is not ours alone, or another daemon holds it.
    pub fn open(folder: &Path) -> Result<Self, Problem> {
        Self::open_on(folder, Box::new(LocalDisk))
    }

    /// [`Self::open`] with the steps of writing in other hands.
    ///
    /// # Errors
    /// Those of [`Self::open`].
    pub fn open_on(folder: &Path, disk: Box<dyn Disk>) -> Result<Self, Problem> {
        disk::private_folder(folder)?;
        let lock = disk::lock_folder(folder)?;
        disk::private_folder(&folder.join(LISTS))?;
        disk::private_folder(&folder.join(CONFIGURATIONS))?;
        Ok(Self {
            folder: folder.to_owned(),
            disk,
            written: Vec::new(),
            current: None,
            kept: HashSet::new(),
            _lock: lock,
        })
    }

    /// What the last daemon left, `None` if none ever ran here.
    ///
    /// # Errors
    /// Any [`Problem`]; where [`Problem::is_about_content`] holds, [`Self::keep_aside`] makes room for a fresh start.
    pub fn load(&mut self) -> Result<Option<State>, Problem> {
        let path = self.path();
        let Some(bytes) = disk::read(&path)? else { return Ok(None) };
        let stored: Stored = document::decode(&path, &bytes)?;
        let mut state = stored.state;
        self.kept = state.configured.files().map(str::to_owned).collect();
        for file in stored.files {
            let set = Arc::new(self.read_list(&file)?);
            let overlay = state
                .overlays
                .iter_mut()
                .find(|overlay| overlay.kind == file.kind && overlay.name == file.name);
            let Some(overlay) = overlay else {
                return Err(Problem::Damaged {
                    path,
                    why: format!("it has a file for {}, but no changes", file.name),
                });
            };
            overlay.overlay.replaced = Some(Arc::clone(&set));
            self.written.push((set, file));
        }
        self.current = Some(bytes);
        Ok(Some(state))
    }

    /// Brings a state to the disk. After an error the old one is there.
    ///
    /// # Errors
    /// The step that failed, with its file.
    pub fn save(&mut self, state: State) -> Result<(), Problem> {
        let generation = state.generation;
        let configured = state.configured.clone();
        let (state, long) = Stored::split(state);
        let lists = long
            .into_iter()
            .enumerate()
            // Never a file name made of a list's name: it would have to be checked for slashes.
            .map(|(number, list)| self.write_list(list, format!("{generation}-{number}.txt")))
            .collect::<Result<Vec<_>, _>>()?;
        let files = lists.iter().map(|(_, file)| file.clone()).collect();
        let bytes = document::encode(&Stored { state, files });
        if let Err(problem) = disk::replace(&*self.disk, &self.folder, FILE, &bytes) {
            if matches!(problem, Problem::SyncFolder { .. }) {
                self.put_back();
            }
            return Err(problem);
        }
        self.current = Some(bytes);
        self.written = lists;
        self.sweep(&configured);
        Ok(())
    }

    /// Moves a document that cannot be used to another name, and says which.
    ///
    /// # Errors
    /// The rename failed.
    pub fn keep_aside(&mut self, problem: &Problem) -> Result<PathBuf, Problem> {
        disk::keep_aside(&self.path(), problem.label())
    }

    /// Where the document is.
    pub fn path(&self) -> PathBuf {
        self.folder.join(FILE)
    }

    /// The new document is in place but may not last, and the change is going to be refused: the old one comes back. The disk
    /// just failed, so this may fail as well; the error that is reported is the first.
    fn put_back(&self) {
        let _ = match &self.current {
            Some(bytes) => disk::replace(&*self.disk, &self.folder, FILE, bytes),
            None => fs::remove_file(self.path())
                .map_err(|error| Problem::write("remove", &self.path(), error)),
        };
    }

    fn write_list(
        &self,
        list: LongList,
        file: String,
    ) -> Result<(Arc<PrefixSet>, ListFile), Problem> {
        let same = |(set, file): &&(Arc<PrefixSet>, ListFile)| {
            Arc::ptr_eq(set, &list.set) && file.kind == list.kind && file.name == list.name
        };
        if let Some(written) = self.written.iter().find(same) {
            return Ok(written.clone());
        }
        let text = list.set.to_text();
        let file = ListFile {
            kind: list.kind,
            checksum: document::checksum(text.as_bytes()),
            entries: list.set.len(),
            file,
            name: list.name,
        };
        disk::replace(&*self.disk, &self.folder.join(LISTS), &file.file, text.as_bytes())?;
        Ok((list.set, file))
    }

    fn read_list(&self, file: &ListFile) -> Result<PrefixSet, Problem> {
        let path = self.folder.join(LISTS).join(&file.file);
        let damaged = |why: String| Problem::Damaged { path: path.clone(), why };
        let bytes = disk::read(&path)?.ok_or_else(|| damaged("it is missing".to_owned()))?;
        let found = document::checksum(&bytes);
        if found != file.checksum {
            return Err(damaged(format!("its checksum is {found}, not {}", file.checksum)));
        }
        let text = String::from_utf8(bytes).map_err(|error| damaged(error.to_string()))?;
        let set: PrefixSet = text
            .lines()
            .map(|line| line.parse())
            .collect::<Result<_, _>>()
            .map_err(|error| damaged(format!("{error}")))?;
        Ok(set)
    }

    /// Removes files that the document does not name; one that stays costs room, nothing else.
    fn sweep(&mut self, configured: &Configured) {
        let lists = self.written.iter().map(|(_, file)| file.file.as_str()).collect();
        sweep_folder(&self.folder.join(LISTS), &lists);
        // Those of the document before stay as well: it comes back where the kernel does not take the policy.
        let before = std::mem::take(&mut self.kept);
        let used = configured.files().chain(before.iter().map(String::as_str)).collect();
        sweep_folder(&self.configurations(), &used);
        self.kept = configured.files().map(str::to_owned).collect();
    }

    /// The folder of the copies of configurations.
    pub(super) fn configurations(&self) -> PathBuf {
        self.folder.join(CONFIGURATIONS)
    }

    /// The steps of writing.
    pub(super) fn disk(&self) -> &dyn Disk {
        &*self.disk
    }
}

fn sweep_folder(folder: &Path, used: &HashSet<&str>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_name().to_str().is_some_and(|name| used.contains(name)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

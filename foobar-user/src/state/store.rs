//! The state folder: `state.json` with its journal, `lists/` for replaced lists that are too long for it, `configurations/` for
//! copies of the configuration.

use std::{
    collections::HashSet,
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use tracing::info;

use super::{
    Configured, Problem,
    delta::Delta,
    disk::{self, Disk, LocalDisk},
    document,
    journal::{self, Journal, Journaled},
    saved::{ListFile, LongList, State, Stored},
};
use crate::policy::PrefixSet;

/// Name of the document.
const FILE: &str = "state.json";
/// Folder of the long lists.
const LISTS: &str = "lists";
/// A journal grows to this many bytes, or to the length of the document where that is longer; then the document is written anew.
const JOURNAL_BYTES: usize = 1 << 20;
/// Folder of the copies of configurations.
const CONFIGURATIONS: &str = "configurations";

/// A long list, and the file that it is in.
type WrittenList = (Arc<PrefixSet>, ListFile);

/// The state folder of one daemon, which holds its lock.
pub struct Store {
    folder: PathBuf,
    disk: Box<dyn Disk>,
    /// Long lists that are on disk, so that they are written once.
    written: Vec<WrittenList>,
    /// Those that no document names yet.
    ahead: Vec<WrittenList>,
    /// The document as it is on disk, to be put back if a new one cannot be made durable.
    current: Option<Vec<u8>>,
    /// The state as it is on disk, if this process wrote it: where the next step begins.
    saved: Option<State>,
    /// The journal of the document, to which steps may be appended.
    journal: Option<Journal>,
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
        let look = || {
            let bytes = disk::read(&path)?.ok_or_else(missing)?;
            let stored: Stored = document::decode(&path, &bytes)?;
            continued(folder, stored.state, stored.journal.as_deref())
        };
        // A daemon may have put another document and another journal in place between the two.
        look().or_else(|_| look())
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
            ahead: Vec::new(),
            current: None,
            saved: None,
            journal: None,
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
        let mut state = continued(&self.folder, stored.state, stored.journal.as_deref())?;
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

    /// Whether a state has lists that are to be files and are not yet.
    pub fn lacks(&self, state: &State) -> bool {
        Stored::long(state).any(|(_, list)| self.file_of(&list).is_none())
    }

    /// Writes those lists, so that to [`Self::save`] the state takes less time. They count for nothing before.
    ///
    /// # Errors
    /// The step that failed, with its file.
    pub fn write_ahead(&mut self, state: &State) -> Result<(), Problem> {
        self.ahead = self.write_lists(state)?;
        Ok(())
    }

    /// Removes what [`Self::write_ahead`] wrote, as the state is not going to be saved.
    pub fn discard_ahead(&mut self) {
        let lists = self.folder.join(LISTS);
        let is_kept = |file: &str| self.written.iter().any(|(_, kept)| kept.file == file);
        for (_, unused) in self.ahead.drain(..).filter(|(_, unused)| !is_kept(&unused.file)) {
            // One that stays is removed by the next document.
            let _ = fs::remove_file(lists.join(unused.file));
        }
    }

    /// Brings a state to the disk: as a step in the journal where that tells it, else as a new document. After an error the old
    /// state is there.
    ///
    /// # Errors
    /// The step that failed, with its file.
    pub fn save(&mut self, state: State) -> Result<(), Problem> {
        let done = self.append_or_rewrite(state);
        // Named by the document now. After an error it may be in place nevertheless, so the files stay until the next one.
        self.ahead.clear();
        done
    }

    fn append_or_rewrite(&mut self, state: State) -> Result<(), Problem> {
        // The start of a daemon and another configuration are documents that any version reads; steps come after the first one.
        let Some(step) = self.saved.as_ref().and_then(|saved| Delta::between(saved, &state)) else {
            return self.rewrite(state, false);
        };
        let line = journal::line(&step);
        let most = JOURNAL_BYTES.max(self.current.as_ref().map_or(0, Vec::len)) as u64;
        match self.journal.take() {
            Some(mut journal) if journal.len() + line.len() as u64 <= most => {
                journal.append(&*self.disk, &line)?;
                self.journal = Some(journal);
                self.saved = Some(state);
                Ok(())
            }
            _ => self.rewrite(state, true),
        }
    }

    /// Takes the journal into the document, which an older foobar then reads as well.
    ///
    /// # Errors
    /// Those of [`Self::save`]; what is on disk stays good.
    pub fn fold(&mut self) -> Result<(), Problem> {
        match &self.saved {
            Some(state) if self.journal.is_some() => self.rewrite(state.clone(), false),
            _ => Ok(()),
        }
    }

    /// Writes the document, with or without a new journal beside it.
    fn rewrite(&mut self, state: State, journaled: bool) -> Result<(), Problem> {
        // Whatever fails, nothing is appended to the journal before: the next change writes a document again.
        self.journal = None;
        let journal =
            if journaled { Some(Journal::create(&*self.disk, &self.folder)?) } else { None };
        match self.write_document(&state, journal.as_ref().map(Journal::name)) {
            Ok(()) => {
                self.sweep(&state.configured, journal.as_ref().map(Journal::name));
                self.journal = journal;
                self.saved = Some(state);
                Ok(())
            }
            Err(problem) => {
                // After a rename the document may need it.
                if let Some(journal) = journal.filter(|_| !is_in_place(&problem)) {
                    journal.discard();
                }
                Err(problem)
            }
        }
    }

    fn write_document(&mut self, state: &State, journal: Option<String>) -> Result<(), Problem> {
        let lists = self.write_lists(state)?;
        let state = Stored::short(state.clone());
        let files = lists.iter().map(|(_, file)| file.clone()).collect();
        let version = if journal.is_some() { document::VERSION } else { document::ALONE };
        let bytes = document::encode(&Stored { state, files, journal }, version);
        if let Err(problem) = disk::replace(&*self.disk, &self.folder, FILE, &bytes) {
            if is_in_place(&problem) {
                self.put_back();
            }
            return Err(problem);
        }
        self.current = Some(bytes);
        self.written = lists;
        Ok(())
    }

    /// Moves a document that cannot be used to another name, and says which; its journal goes with it.
    ///
    /// # Errors
    /// The rename failed.
    pub fn keep_aside(&mut self, problem: &Problem) -> Result<PathBuf, Problem> {
        let aside = disk::keep_aside(&self.path(), problem.label())?;
        for journal in journal::all(&self.folder) {
            // It is of no use without its document, so an error here loses nothing.
            let _ = disk::keep_aside(&self.folder.join(journal), problem.label());
        }
        Ok(aside)
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

    /// All long lists of a state in files.
    fn write_lists(&self, state: &State) -> Result<Vec<WrittenList>, Problem> {
        let lists = Stored::long(state);
        lists.map(|(number, list)| self.write_list(list, state.generation, number)).collect()
    }

    /// The file that a list is in already.
    fn file_of(&self, list: &LongList) -> Option<&WrittenList> {
        self.written.iter().chain(&self.ahead).find(|(set, file)| {
            Arc::ptr_eq(set, &list.set) && file.kind == list.kind && file.name == list.name
        })
    }

    /// The list in a file; `number` tells the lists of a generation apart.
    fn write_list(
        &self,
        list: LongList,
        generation: u64,
        number: usize,
    ) -> Result<WrittenList, Problem> {
        if let Some(written) = self.file_of(&list) {
            return Ok(written.clone());
        }
        // Never a file name made of a list's name: it would have to be checked for slashes.
        let file = format!("{generation}-{number}.txt");
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
    fn sweep(&mut self, configured: &Configured, journal: Option<String>) {
        for unused in journal::all(&self.folder).filter(|name| Some(name) != journal.as_ref()) {
            let _ = fs::remove_file(self.folder.join(unused));
        }
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

/// Whether a document may be in place, although it may not last: not every file system that reports an error has done nothing.
fn is_in_place(problem: &Problem) -> bool {
    matches!(problem, Problem::SyncFolder { .. } | Problem::Write { step: disk::RENAME, .. })
}

/// A document's state with the steps of its journal.
fn continued(folder: &Path, mut state: State, journal: Option<&str>) -> Result<State, Problem> {
    let Some(name) = journal else { return Ok(state) };
    let Journaled { steps, unfinished } = journal::read(folder, name)?;
    for step in steps {
        if step.from != state.generation {
            return Err(Problem::Damaged {
                path: folder.join(name),
                why: format!(
                    "generation {} is followed by a step from {}",
                    state.generation, step.from
                ),
            });
        }
        step.apply(&mut state);
    }
    if unfinished > 0 {
        info!(
            "{name} ends with {unfinished} bytes of a change that was never acknowledged; they do not count"
        );
    }
    Ok(state)
}

fn sweep_folder(folder: &Path, used: &HashSet<&str>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if !entry.file_name().to_str().is_some_and(|name| used.contains(name)) {
            let _ = fs::remove_file(entry.path());
        }
    }
}

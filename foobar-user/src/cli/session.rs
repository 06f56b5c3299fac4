//! The SSH session that a command is given in.

use std::{env, fs};

/// The variable that sshd sets (sshd(8)).
const VARIABLE: &str = "SSH_CONNECTION";

/// `SSH_CONNECTION` of this process, or of the closest one that started it: `sudo` does not pass it on.
pub fn ssh_connection() -> Option<String> {
    env::var(VARIABLE).ok().or_else(|| {
        let mut process = parent("self")?;
        while process > 1 {
            let environment = fs::read(format!("/proc/{process}/environ")).ok()?;
            if let Some(value) = find(&environment) {
                return Some(value);
            }
            process = parent(&process.to_string())?;
        }
        None
    })
}

/// Who started a process: the second field behind its name in `/proc/PID/stat` (proc(5)).
fn parent(process: &str) -> Option<u32> {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    stat.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// The variable in an environment as `/proc/PID/environ` shows it.
fn find(environment: &[u8]) -> Option<String> {
    let mut variables = environment.split(|&byte| byte == 0);
    variables.find_map(|variable| {
        let value = variable.strip_prefix(VARIABLE.as_bytes())?.strip_prefix(b"=")?;
        String::from_utf8(value.to_owned()).ok()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_variable_is_found_among_others() {
        let environment = b"A=b\0SSH_CONNECTION_OLD=x\0SSH_CONNECTION=192.0.2.1 1 192.0.2.2 22\0";
        assert_eq!(find(environment).as_deref(), Some("192.0.2.1 1 192.0.2.2 22"));
        assert_eq!(find(b"A=SSH_CONNECTION=1"), None);
        assert_eq!(parent("self"), Some(std::os::unix::process::parent_id()));
    }
}

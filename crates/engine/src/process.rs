//! Which process this is, and whether another one of this machine is surely gone.

use jobstore::ProcessIdentity;

/// This process, as far as the system tells. Where it does not, the fields are empty, and nobody is ever sure that
/// such a process is gone.
pub(crate) fn this_process() -> ProcessIdentity {
    let pid = std::process::id();
    ProcessIdentity {
        host: rustix::system::uname().nodename().to_string_lossy().into_owned(),
        boot_id: read_trimmed("/proc/sys/kernel/random/boot_id"),
        pid_namespace: pid_namespace(),
        pid,
        start_time: start_time(pid).unwrap_or_default(),
    }
}

/// Whether `other` has surely ended, judged from the process `this`: the same boot of the same machine, the same
/// namespace of process ids, and no process of that id and start time.
pub(crate) fn surely_gone(this: &ProcessIdentity, other: &ProcessIdentity) -> bool {
    comparable(this, other) && start_time(other.pid).is_none_or(|start| start != other.start_time)
}

fn comparable(this: &ProcessIdentity, other: &ProcessIdentity) -> bool {
    let known = |identity: &ProcessIdentity| {
        !identity.boot_id.is_empty() && !identity.pid_namespace.is_empty() && !identity.start_time.is_empty()
    };
    known(this) && known(other) && this.boot_id == other.boot_id && this.pid_namespace == other.pid_namespace
}

fn read_trimmed(path: &str) -> String {
    std::fs::read_to_string(path).map(|text| text.trim().to_owned()).unwrap_or_default()
}

fn pid_namespace() -> String {
    std::fs::read_link("/proc/self/ns/pid")
        .map(|link| link.to_string_lossy().into_owned())
        .unwrap_or_default()
}

/// When the process of this id started, in clock ticks since the boot; none where there is no such process. One
/// that has ended and was not yet collected by its parent counts as gone.
fn start_time(pid: u32) -> Option<String> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    parse_start_time(&stat)
}

fn parse_start_time(stat: &str) -> Option<String> {
    // The second field is the command in brackets, which may itself hold brackets and spaces.
    let mut fields = stat.get(stat.rfind(')')? + 1..)?.split_ascii_whitespace();
    let state = fields.next()?;
    if matches!(state, "Z" | "X" | "x") {
        return None;
    }
    // The start time is field 22; the state was field 3.
    fields.nth(18).map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_start_time_is_found_behind_any_command_name() {
        let rest = "S 1 1 1 0 -1 4194560 1 0 0 0 0 0 0 0 20 0 1 0 4242 1000 10";
        assert_eq!(parse_start_time(&format!("7 (sh) {rest}")).as_deref(), Some("4242"));
        assert_eq!(parse_start_time(&format!("7 (a) b (c)) {rest}")).as_deref(), Some("4242"));
        assert_eq!(parse_start_time("7 (sh) Z 1 1 1 0 -1 4 1 0 0 0 0 0 0 0 20 0 1 0 4242 1000"), None);
        assert_eq!(parse_start_time("7 (sh"), None);
    }

    #[test]
    fn a_process_is_gone_only_where_that_can_be_known() {
        let this = this_process();
        assert!(!surely_gone(&this, &this), "this one is alive");
        let reused = ProcessIdentity { start_time: "1".into(), ..this.clone() };
        assert_eq!(surely_gone(&this, &reused), comparable(&this, &this));
        let other_boot = ProcessIdentity { boot_id: "another".into(), ..reused.clone() };
        assert!(!surely_gone(&this, &other_boot));
        let other_namespace = ProcessIdentity { pid_namespace: "pid:[1]".into(), ..reused.clone() };
        assert!(!surely_gone(&this, &other_namespace));
        let unknown = ProcessIdentity { start_time: String::new(), ..reused };
        assert!(!surely_gone(&this, &unknown));
    }
}

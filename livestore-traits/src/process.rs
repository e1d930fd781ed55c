//! Which program this is, for people.

/// The name of this program, on one line, if it has one; for example `todo`.
#[must_use]
pub fn this_program() -> Option<String> {
    let program = std::env::current_exe().ok()?;
    Some(name_of(&program.file_name()?.to_string_lossy()))
}

/// The name of this program, and its process; for example `todo (process 1234)`.
#[must_use]
pub fn this_process() -> String {
    format!("{} (process {})", this_program().as_deref().unwrap_or("a program"), std::process::id())
}

fn name_of(file: &str) -> String {
    // Where a program was replaced while it runs, as updates do, Linux says so with its name.
    let name = file.strip_suffix(" (deleted)").filter(|_| cfg!(target_os = "linux")).unwrap_or(file);
    name.trim().chars().filter(|c| !c.is_control()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_line() {
        assert_eq!(name_of("a\nterm 1\n"), "aterm 1");
        let this = this_process();
        assert!(this.ends_with(&format!(" (process {})", std::process::id())), "{this}");
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn a_program_that_was_replaced_has_its_name() {
        assert_eq!(name_of("todo (deleted)"), "todo");
        assert_eq!(name_of("todo"), "todo");
    }
}

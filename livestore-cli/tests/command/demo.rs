//! The demo tells its story and ends well.

use crate::support::{run, text};

#[test]
fn it_shows_a_rebase_and_ends_with_everything_the_same() {
    let demo = run(&["demo"]);
    let (story, errors) = (text(&demo.stdout), text(&demo.stderr));
    assert_eq!(demo.status.code(), Some(0), "{story}\n{errors}");
    for part in [
        "carol  COMMIT  e3 ",
        "3 pending offline",
        "carol  REBASE  3 events e3..e5 rolled back",
        "carol  what was e3 is e5",
        "e7     e7     e7     e7r",
        "The same 7 events on the server and 3 clients, and 3 databases alike.",
    ] {
        assert!(story.contains(part), "{part:?} is not in the story:\n{story}");
    }
}

#[test]
fn it_keeps_its_files_when_asked_to() {
    let demo = run(&["demo", "--keep"]);
    let story = text(&demo.stdout);
    let (_, kept) = story.split_once("Everything is kept in ").unwrap();
    let kept = std::path::Path::new(kept.trim());
    for file in ["server/livestore.redb", "alice/eventlog.redb", "bob/state.sqlite", "carol/eventlog.redb"] {
        assert!(kept.join(file).is_file(), "{file} is missing");
    }
    std::fs::remove_dir_all(kept).unwrap();
}

//! A server that is set up by a config file.

use std::fs;

use crate::support::{Server, livestore, path, run, text};

#[test]
fn what_the_file_says_is_done() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("livestore.toml");
    let config = "listen = \"0.0.0.0:0\"\ndata-dir = \"data\"\nstore = \"sqlite\"\nmax-event-bytes = \"1KiB\"\nlog = \"off\"";
    fs::write(&file, config).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    let mut command = livestore(&["serve", "--config", path(&file)]);
    command.current_dir(elsewhere.path());
    let server = Server::spawn(command);
    assert!(dir.path().join("data/livestore.sqlite").is_file(), "{}", server.introduction);
    assert_eq!(server.get("/stores/notes").1["capabilities"]["limits"]["maxEventBytes"], 1024);
    // It would warn that anyone may write.
    assert_eq!(server.stop().stderr, "");
    // The same with a flag on top.
    let mut command =
        livestore(&["serve", "--config", path(&file), "--max-event-bytes", "2KiB", "--log", "warn"]);
    command.current_dir(elsewhere.path());
    let server = Server::spawn(command);
    assert_eq!(server.get("/stores/notes").1["capabilities"]["limits"]["maxEventBytes"], 2048);
    assert!(server.stop().stderr.contains("WARN"));
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
}

#[test]
fn the_example_can_be_served_as_it_is() {
    let dir = tempfile::tempdir().unwrap();
    let example = text(&run(&["serve", "--example-config"]).stdout);
    let server = Server::with_config(dir.path(), &example);
    let access = "access: anyone may read and write every store\n";
    assert!(server.introduction.contains(access), "{}", server.introduction);
    assert_eq!(server.push("notes", 0, "one").0, 200);
    let ended = server.stop();
    assert!(!ended.stderr.contains("WARN"), "on 127.0.0.1 that is no reason to warn: {}", ended.stderr);
}

#[test]
fn an_open_server_that_others_reach_is_warned_about() {
    let dir = tempfile::tempdir().unwrap();
    let everywhere = ["serve", "--memory", "--listen", "0.0.0.0:0"];
    let stderr = |args: &[&str]| {
        let mut command = livestore(&everywhere);
        command.args(args).current_dir(dir.path());
        Server::spawn(command).stop().stderr
    };
    let warning = "anyone who reaches this address can read and write every store";
    assert!(stderr(&[]).contains(warning));
    assert!(!stderr(&["--default-access", "read"]).contains(warning));
}

#[test]
fn the_settings_in_force_can_be_printed() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("x.toml");
    let config = "max-wait = \"5s\"\n[[access]]\nstores = \"a-*\"\npayload.authToken = \"let-me-in\"\nallow = \"read\"\n";
    fs::write(&file, config).unwrap();
    let output = run(&["serve", "--config", path(&file), "--print-config", "--max-websockets", "7"]);
    let printed = text(&output.stdout);
    assert_eq!(output.status.code(), Some(0), "{}", text(&output.stderr));
    for line in ["max-wait = \"5s\"", "max-websockets = 7", "stores = \"a-*\"", "authToken = \"(hidden)\""] {
        assert!(printed.contains(line), "{line} is not in {printed}");
    }
    assert!(!printed.contains("let-me-in"), "{printed}");
    // What is printed is a config file.
    let again = dir.path().join("again.toml");
    fs::write(&again, &printed).unwrap();
    assert_eq!(text(&run(&["serve", "--config", path(&again), "--print-config"]).stdout), printed);
}

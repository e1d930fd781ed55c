//! What cannot be done is said in one readable sentence, with a non-zero exit.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Output;

use crate::support::{Server, path, run, text};

/// Checks how a failure looks, and that it says all of `parts`.
#[track_caller]
fn assert_refused(output: &Output, parts: &[&str]) {
    let stderr = text(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.starts_with("error: "), "{stderr}");
    assert_eq!(stderr.lines().count(), 1, "more than one line: {stderr}");
    for noise in ["panicked", "Error {", "Error(", "Some(", "backtrace"] {
        assert!(!stderr.contains(noise), "{noise} in {stderr}");
    }
    for part in parts {
        assert!(stderr.contains(part), "{part:?} is not in {stderr}");
    }
}

fn serve(data_dir: &Path, args: &[&str]) -> Output {
    let mut all = vec!["serve", "--listen", "127.0.0.1:0", "--data-dir", path(data_dir)];
    all.extend(args);
    run(&all)
}

#[test]
fn a_port_in_use() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let addr = taken.local_addr().unwrap().to_string();
    let dir = tempfile::tempdir().unwrap();
    let output = run(&["serve", "--listen", &addr, "--data-dir", path(dir.path())]);
    assert_refused(&output, &[&addr, "in use", "--listen"]);
}

#[test]
fn an_address_that_is_none() {
    assert_refused(&run(&["serve", "--memory", "--listen", "nowhere"]), &["nowhere", "--listen"]);
}

#[test]
fn a_data_dir_in_use() {
    for kind in ["redb", "sqlite"] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(dir.path(), &["--store", kind]);
        assert_refused(&serve(dir.path(), &[]), &["in use", "stop the other server", "--data-dir"]);
        assert_eq!(server.push("notes", 0, "unharmed").0, 200);
    }
}

#[test]
fn a_data_dir_that_is_a_file() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("file");
    fs::write(&file, "mine").unwrap();
    assert_refused(&serve(&file, &[]), &[path(&file)]);
    assert_refused(&serve(&file.join("below"), &[]), &[path(&file)]);
    assert_eq!(fs::read_to_string(&file).unwrap(), "mine");
}

#[test]
fn a_damaged_file() {
    for (kind, name) in [("redb", "livestore.redb"), ("sqlite", "livestore.sqlite")] {
        let dir = tempfile::tempdir().unwrap();
        let server = Server::start(dir.path(), &["--store", kind]);
        for parent in 0..20 {
            assert_eq!(server.push("notes", parent, &"x".repeat(50_000)).0, 200);
        }
        server.stop();
        let file = dir.path().join(name);
        let whole = fs::read(&file).unwrap();
        let damages = [
            whole[..whole.len() / 3].to_vec(),
            b"not a database at all".repeat(5000),
            Vec::new(),
            vec![0; 100_000],
        ];
        for damaged in damages {
            fs::write(&file, &damaged).unwrap();
            assert_refused(&serve(dir.path(), &[]), &[path(&file), "livestore restore"]);
            assert_eq!(fs::read(&file).unwrap(), damaged, "{kind}: a damaged file was changed");
            let target = dir.path().join("target");
            let restored = run(&["restore", "--from", path(&file), "--data-dir", path(&target)]);
            assert_refused(&restored, &[path(&file)]);
            assert!(!target.join(name).exists());
        }
    }
}

#[test]
fn data_of_another_kind() {
    let dir = tempfile::tempdir().unwrap();
    Server::start(dir.path(), &["--store", "sqlite"]).stop();
    assert_refused(
        &serve(dir.path(), &["--store", "redb"]),
        &["has sqlite data, not redb", "--store sqlite"],
    );
    assert!(!dir.path().join("livestore.redb").exists());
}

#[test]
fn options_that_make_no_sense() {
    let dir = tempfile::tempdir().unwrap();
    for (args, part) in [
        (["--max-event-bytes", "2MiB"], "--max-batch-bytes"),
        (["--max-frame-bytes", "100"], "16KiB"),
        (["--max-file-bytes", "1MiB"], "--store sqlite"),
    ] {
        assert_refused(&serve(dir.path(), &args), &[args[0], part]);
    }
    for args in
        [["--idle-timeout", "5"], ["--max-open-stores", "0"], ["--store", "paper"], ["--log", "a=b=c"]]
    {
        let output = serve(dir.path(), &args);
        let stderr = text(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(
            stderr.starts_with(&format!("error: invalid value '{}' for '{}", args[1], args[0])),
            "{stderr}"
        );
    }
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 0, "a data file was made all the same");
}

#[test]
fn a_config_file_that_cannot_be() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("livestore.toml");
    let config = |text: &str| {
        fs::write(&file, text).unwrap();
        serve(&dir.path().join("data"), &["--config", path(&file)])
    };
    let at = |line: u32| format!("livestore.toml:{line}: ");
    for (text, line, part) in [
        ("\nmax-wait = \"soon\"", 2, "max-wait"),
        ("max-conections = 1", 1, "did you mean `max-connections`?"),
        ("listen = [", 1, ""),
        ("[[access]]\nstores = \"a/b\"\nallow = \"read\"", 2, "no store id has"),
        (
            "[jwt]\nalgorithm = \"ES256\"\nkey-file = \"nowhere.pem\"",
            3,
            "nowhere.pem cannot be read: No such file",
        ),
    ] {
        assert_refused(&config(text), &[&at(line), part]);
    }
    let both = "default-access = \"read\"\n[jwt]\nalgorithm = \"HS256\"\nkey-file = \"secret\"";
    fs::write(dir.path().join("secret"), "x".repeat(32)).unwrap();
    assert_refused(&config(both), &["`default-access` and `[jwt]`", "leave one of them out"]);
    let public = "public-history = true\n[[access]]\nstores = \"*\"\nallow = \"read\"";
    assert_refused(&config(public), &["public-history", "not anybody may read every store"]);
    assert_refused(&serve(dir.path(), &["--config", "nowhere.toml"]), &["nowhere.toml cannot be read"]);
    assert!(!dir.path().join("data").exists(), "a data dir was made all the same");
}

#[test]
fn a_restore_that_cannot_be() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let restore =
        |from: &str, to: &str| run(&["restore", "--from", path(&at(from)), "--data-dir", path(&at(to))]);
    fs::create_dir(at("empty")).unwrap();
    assert_refused(&restore("nowhere", "target"), &["nowhere cannot be read"]);
    assert_refused(&restore("empty", "target"), &["there is no livestore data in", "--from"]);
    Server::start(&at("redb"), &[]).stop();
    Server::start(&at("both"), &["--store", "sqlite"]).stop();
    assert_refused(&restore("redb", "both"), &["livestore.sqlite exists already", "--data-dir"]);
    assert_refused(&restore("redb", "redb"), &["livestore.redb exists already"]);
    fs::copy(at("redb").join("livestore.redb"), at("both").join("livestore.redb")).unwrap();
    assert_refused(&restore("both", "target"), &["both redb and sqlite", "--from"]);
    assert!(!at("target").exists());
}

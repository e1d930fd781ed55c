//! What every `todo list` has to show, as the server's log alone says.

use livestore_traits::SyncedEvent;
use serde_json::Value;

struct Item {
    id: String,
    text: String,
    is_done: bool,
}

/// The list after these events: a line for each item, with its mark and text and without its id.
#[must_use]
pub fn replay(log: &[SyncedEvent]) -> Vec<String> {
    let mut items: Vec<Item> = Vec::new();
    for event in log {
        let args: Value = serde_json::from_str(event.args.as_str()).unwrap_or_default();
        let arg = |key: &str| args[key].as_str().unwrap_or_default();
        let item = items.iter_mut().rfind(|item| item.id == arg("id"));
        match (event.name.as_str(), item) {
            ("v1.TodoAdded", None) => {
                items.push(Item { id: arg("id").to_owned(), text: arg("text").to_owned(), is_done: false });
            }
            ("v1.TodoTextEdited", Some(item)) => arg("text").clone_into(&mut item.text),
            ("v1.TodoDone", Some(item)) => item.is_done = true,
            _ => {}
        }
    }
    items.iter().map(|item| format!("[{}] {}", if item.is_done { 'x' } else { ' ' }, item.text)).collect()
}

/// The same of what `todo list` printed.
#[must_use]
pub fn without_ids(list: &str) -> Vec<String> {
    let lines = list.lines().filter(|line| *line != "nothing to do");
    lines
        .map(|line| {
            let (mark, rest) = line.split_at_checked(4).unwrap_or((line, ""));
            format!("{mark}{}", rest.split_once("  ").map_or(rest, |(_, text)| text))
        })
        .collect()
}

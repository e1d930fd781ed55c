//! How things look. Everything a command prints goes through here.

use std::fmt::Display;
use std::io::{self, Write as _};

use livestore_engine::processor::LeaderStatus;
use livestore_traits::ConnectionStatus;

use crate::failure::Failure;
use crate::schema::Todo;

/// The fewest characters of an id that are shown.
const MIN_SHOWN: usize = 3;

/// Prints a line, at once: it may say that something is saved, and whoever reads it through a pipe relies on it.
pub(crate) fn line(text: impl Display) -> Result<(), Failure> {
    let mut out = io::stdout().lock();
    writeln!(out, "{text}").and_then(|()| out.flush()).map_err(|error| Failure::output(&error))
}

/// Prints all items.
pub(crate) fn list(todos: &[Todo]) -> Result<(), Failure> {
    if todos.is_empty() {
        return line("nothing to do");
    }
    let ids = Ids::new(todos);
    todos.iter().try_for_each(|todo| line(item(todo, &ids)))
}

/// Prints what differs between two lists.
pub(crate) fn difference(before: &[Todo], after: &[Todo]) -> Result<(), Failure> {
    let ids = Ids::new(before.iter().chain(after));
    let in_list = |todos: &[Todo], id: &str| todos.iter().find(|todo| todo.id == id).cloned();
    for todo in before.iter().filter(|todo| in_list(after, &todo.id).is_none()) {
        line(format_args!("- {}", item(todo, &ids)))?;
    }
    for todo in after {
        match in_list(before, &todo.id) {
            None => line(format_args!("+ {}", item(todo, &ids)))?,
            Some(old) if old != *todo => line(format_args!("~ {}", item(todo, &ids)))?,
            Some(_) => {}
        }
    }
    Ok(())
}

/// An item on one line.
pub(crate) fn item(todo: &Todo, ids: &Ids) -> String {
    let mark = if todo.is_done { 'x' } else { ' ' };
    format!("[{mark}] {}  {}", ids.shown(&todo.id), on_one_line(&todo.text))
}

/// Whether the server can be reached, and why not.
pub(crate) fn connection(status: &LeaderStatus) -> String {
    let is_connected = status.connection == ConnectionStatus::Connected;
    let state = if is_connected { "connected" } else { "not connected" };
    match &status.last_error {
        Some(error) => format!("{state}: {}", on_one_line(error)),
        None => state.to_owned(),
    }
}

/// How much of an id is shown, so that no two items look the same.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ids(usize);

impl Ids {
    pub(crate) fn new<'a>(todos: impl IntoIterator<Item = &'a Todo>) -> Self {
        let mut ids: Vec<&str> = todos.into_iter().map(|todo| todo.id.as_str()).collect();
        ids.sort_unstable();
        ids.dedup();
        // Ids that begin alike are neighbours now.
        let shared = ids.windows(2).map(|pair| shared_prefix(pair[0], pair[1])).max();
        Self(shared.map_or(0, |shared| shared + 1).max(MIN_SHOWN))
    }

    pub(crate) fn shown<'a>(&self, id: &'a str) -> &'a str {
        id.char_indices().nth(self.0).map_or(id, |(end, _)| &id[..end])
    }
}

fn shared_prefix(a: &str, b: &str) -> usize {
    a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count()
}

/// Other clients' texts may hold line breaks, or characters that control a terminal.
fn on_one_line(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn todo(id: &str, text: &str) -> Todo {
        Todo { id: id.into(), text: text.into(), is_done: false }
    }

    #[test]
    fn as_much_of_an_id_is_shown_as_tells_it_from_the_others() {
        let shown = |ids: &[&str]| {
            let todos: Vec<Todo> = ids.iter().map(|id| todo(id, "")).collect();
            let all = Ids::new(&todos);
            ids.iter().map(|id| all.shown(id).to_owned()).collect::<Vec<_>>()
        };
        assert_eq!(shown(&["abcdef"]), ["abc"]);
        assert_eq!(shown(&["abcdef", "xyzxyz"]), ["abc", "xyz"]);
        assert_eq!(shown(&["abcdef", "xyzxyz", "abcdxx"]), ["abcde", "xyzxy", "abcdx"]);
        assert_eq!(shown(&["äöüäöü", "ab"]), ["äöü", "ab"]);
    }

    #[test]
    fn a_text_cannot_control_the_terminal() {
        let todo = todo("abcdef", "a\nb\u{1b}[2J");
        assert_eq!(item(&todo, &Ids::new([&todo])), "[ ] abc  a b [2J");
    }
}

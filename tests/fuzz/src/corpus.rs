//! The inputs that are checked in: `corpus/<target>.txt`.
//!
//! One line is one input, escaped (`\n`, `\xff`, `\\`) where it is not text; a line that begins with `#` is a remark.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use bstr::{ByteSlice, ByteVec};

use crate::Target;

const REMARK: char = '#';
/// How an input begins that would be taken for a remark.
const ESCAPED_REMARK: &str = r"\x23";

/// The inputs of one target.
#[derive(Debug)]
pub struct Corpus {
    file: PathBuf,
}

impl Corpus {
    /// That of `target`.
    #[must_use]
    pub fn of(target: &Target) -> Self {
        Self { file: Self::root().join(target.name).with_extension("txt") }
    }

    /// The directory of all.
    #[must_use]
    pub fn root() -> PathBuf {
        PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("corpus")
    }

    /// Every input with the number of its line, in their order.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn inputs(&self) -> io::Result<Vec<(usize, Vec<u8>)>> {
        let text = fs::read_to_string(&self.file)?;
        let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.starts_with(REMARK));
        Ok(lines.map(|(number, line)| (number, Vec::unescape_bytes(line))).collect())
    }

    /// Adds those of `inputs` that it does not have; how many these are.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn add(&self, inputs: impl IntoIterator<Item = Vec<u8>>) -> io::Result<usize> {
        let has_any = self.file.try_exists()?;
        let known = if has_any { self.inputs()? } else { Vec::new() };
        let mut known: BTreeSet<_> = known.into_iter().map(|(_, input)| input).collect();
        let mut text = if has_any { fs::read_to_string(&self.file)? } else { String::new() };
        let before = known.len();
        for input in inputs {
            if known.insert(input.clone()) {
                writeln!(text, "{}", line_of(&input)).map_err(io::Error::other)?;
            }
        }
        fs::write(&self.file, text)?;
        Ok(known.len() - before)
    }

    /// Writes every input to a file of its own in `dir`, named by its line.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn unpack(&self, dir: &Path) -> io::Result<()> {
        fs::create_dir_all(dir)?;
        for (number, input) in self.inputs()? {
            fs::write(dir.join(format!("line-{number:04}")), input)?;
        }
        Ok(())
    }
}

fn line_of(input: &[u8]) -> String {
    // Spaces are as readable as they are.
    let words: Vec<_> =
        input.split(|byte| *byte == b' ').map(|word| word.escape_bytes().to_string()).collect();
    let line = words.join(" ");
    match line.strip_prefix(REMARK) {
        Some(rest) => format!("{ESCAPED_REMARK}{rest}"),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_input_is_a_line_and_is_read_as_it_was_written() {
        let mut rng = fastrand::Rng::with_seed(1);
        let any = |rng: &mut fastrand::Rng| (0..rng.usize(..12)).map(|_| rng.u8(..)).collect::<Vec<_>>();
        let tricky = ["", "#", "a\\x23", "\\n", "\r\n", "ü\u{2028}\u{85}\u{feff}", " \t ", "\0"];
        let inputs = tricky.iter().map(|text| text.as_bytes().to_vec());
        for input in inputs.chain((0..10_000).map(|_| any(&mut rng))) {
            let line = line_of(&input);
            assert!(!line.starts_with(REMARK) && line.lines().count() <= 1, "{line:?}");
            assert_eq!(Vec::unescape_bytes(&line), input, "{line:?}");
        }
    }

    #[test]
    fn what_is_added_comes_after_what_is_there_and_once() {
        let dir = tempfile::tempdir().unwrap();
        let corpus = Corpus { file: dir.path().join("a.txt") };
        let input = |text: &str| text.as_bytes().to_vec();
        assert_eq!(corpus.add([input("one"), input("# two\n")]).unwrap(), 2);
        let text = fs::read_to_string(&corpus.file).unwrap();
        fs::write(&corpus.file, format!("# a remark\n{text}")).unwrap();
        assert_eq!(corpus.add([input("# two\n"), input("")]).unwrap(), 1);
        assert_eq!(fs::read_to_string(&corpus.file).unwrap(), "# a remark\none\n\\x23 two\\n\n\n");
        assert_eq!(corpus.inputs().unwrap(), [(2, input("one")), (3, input("# two\n")), (4, input(""))]);
        corpus.unpack(dir.path()).unwrap();
        assert_eq!(fs::read(dir.path().join("line-0003")).unwrap(), input("# two\n"));
    }
}

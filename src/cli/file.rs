//! The configuration file: TOML with the names of the options.
//!
//! The values become defaults of the command line, so that the parsers and the error messages are
//! those of the options, and the command line and the environment come before the file.

use std::fmt::Display;
use std::ops::Range;
use std::path::Path;

use clap::{Arg, ArgAction, Command};
use toml::Spanned;
use toml::de::{DeTable, DeValue};

use super::arguments::DOCUMENTS;

/// Options that a file cannot contain.
const NOT_IN_FILE: [&str; 4] = ["config", "check-config", "check", "help"];

/// An option in the file.
pub(super) struct Entry {
    pub(super) name: String,
    pub(super) value: String,
    /// Place of the name: the file, the line and the column.
    pub(super) place: String,
}

/// Returns the options of the file at `path`.
///
/// # Errors
/// A sentence that names the file and, if its content is wrong, the line and the column.
pub(super) fn read(path: &Path, command: &Command) -> Result<Vec<Entry>, String> {
    let name = path.display();
    let text = std::fs::read_to_string(path)
        .map_err(|error| format!("cannot read the configuration {name}: {error}"))?;
    let place = |at| {
        let (line, column) = place(&text, at);
        format!("{name}, line {line}, column {column}")
    };
    let entry = |(at, name, value)| Entry { name, value, place: place(at) };
    match parse(&text, command) {
        Ok(found) => Ok(found.into_iter().map(entry).collect()),
        Err(Wrong { at, sentence }) => Err(format!("{}: {sentence}", place(at))),
    }
}

/// Returns the command with the values of a file as its defaults.
pub(super) fn with_defaults(mut command: Command, entries: &[Entry]) -> Command {
    for Entry { name, value, .. } in entries {
        let id = command.get_arguments().find(|arg| arg.get_long() == Some(name));
        if let Some(id) = id.map(|arg| arg.get_id().clone()) {
            command = command.mut_arg(id, |arg| arg.default_value(value.clone()));
        }
    }
    command
}

/// A sentence about a byte of the file.
struct Wrong {
    at: usize,
    sentence: String,
}

fn wrong(span: &Range<usize>, sentence: impl Display) -> Wrong {
    Wrong { at: span.start, sentence: sentence.to_string() }
}

/// Returns the byte, the name and the value of each option.
fn parse(text: &str, command: &Command) -> Result<Vec<(usize, String, String)>, Wrong> {
    let table = DeTable::parse(text).map_err(|error| {
        let sentence = error.message().to_string();
        Wrong { at: error.span().map_or(0, |span| span.start), sentence }
    })?;
    let mut values = Vec::new();
    for (name, value) in table.get_ref() {
        let is_meant = |arg: &&Arg| arg.get_long() == Some(name.get_ref());
        let arg = command.get_arguments().find(is_meant).filter(|arg| may_be_in_file(arg));
        let Some(arg) = arg else {
            let sentence = format_args!("'{}' is not the name of an option", name.get_ref());
            return Err(wrong(&name.span(), sentence));
        };
        let checked = |value: &Spanned<DeValue<'_>>| {
            let text = text_of(value, text)?;
            check(command, arg, &text).map_err(|sentence| wrong(&value.span(), sentence))?;
            Ok(text)
        };
        // First each item, because an error has the place of the item then.
        let items = value.get_ref().as_array().into_iter().flatten();
        items.map(checked).collect::<Result<Vec<String>, Wrong>>()?;
        values.push((name.span().start, name.get_ref().to_string(), checked(value)?));
    }
    // The table is sorted by name; the values keep the order of the file for messages.
    Ok(values)
}

fn may_be_in_file(arg: &Arg) -> bool {
    let name = arg.get_long().unwrap_or_default();
    arg.get_help_heading() != Some(DOCUMENTS) && !NOT_IN_FILE.contains(&name)
}

/// Returns a value as it would stand on the command line. `source` is the text of the file.
fn text_of(value: &Spanned<DeValue<'_>>, source: &str) -> Result<String, Wrong> {
    match value.get_ref() {
        DeValue::String(text) => Ok(text.to_string()),
        DeValue::Boolean(flag) => Ok(flag.to_string()),
        DeValue::Integer(_) | DeValue::Float(_) => Ok(source[value.span()].replace('_', "")),
        DeValue::Array(items) => {
            let texts: Result<Vec<String>, Wrong> =
                items.iter().map(|item| text_of(item, source)).collect();
            Ok(texts?.join(","))
        }
        DeValue::Table(_) | DeValue::Datetime(_) => {
            let sentence = "allowed is a string, a number, true, false or a list of them";
            Err(wrong(&value.span(), sentence))
        }
    }
}

/// Checks a value with the parser of its option.
fn check(command: &Command, arg: &Arg, value: &str) -> Result<(), String> {
    let name = arg.get_long().unwrap_or_default();
    if matches!(arg.get_action(), ArgAction::SetTrue) {
        return match value {
            "true" | "false" => Ok(()),
            _ => Err(format!("invalid value '{value}' for '{name}': allowed is true or false")),
        };
    }
    let line = ["pinloop".to_string(), format!("--{name}={value}")];
    let checked = command.clone().try_get_matches_from(line);
    checked.map(drop).map_err(|error| sentence_of(&error))
}

/// Returns the sentence of an error without its prefix and its advice.
fn sentence_of(error: &clap::Error) -> String {
    let text = error.to_string();
    let text = text.strip_prefix("error: ").unwrap_or(&text);
    let lines = text.lines().take_while(|line| !line.is_empty()).map(str::trim);
    lines.collect::<Vec<_>>().join(" ")
}

/// Returns the line and the column of a byte, both counted from 1, the column in characters.
fn place(text: &str, at: usize) -> (usize, usize) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or_default();
    (before.matches('\n').count() + 1, line.chars().count() + 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_place_is_counted_in_lines_and_characters() {
        assert_eq!(place("", 0), (1, 1));
        assert_eq!(place("a = 1\né = 2", 8), (2, 2));
        assert_eq!(place("a\n", 2), (2, 1));
    }
}

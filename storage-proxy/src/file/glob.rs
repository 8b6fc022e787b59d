//! Patterns for paths: * and ? stay within one component, ** crosses them, [a-z] and {a,b} choose, \ takes what follows as
//! it is.
//!
//! Translated to a regular expression, whose matching takes time linear in the path whatever the pattern. Names are bytes:
//! a byte that is no UTF-8 is one character, which `*` and `?` match and nothing else does.

use std::{borrow::Cow, fmt::Write as _, iter::Peekable, mem, str::Chars};

use regex::{Regex, RegexBuilder};
use thiserror::Error;

/// Longest pattern in bytes.
pub const MOST_BYTES: usize = 1024;
/// How deep {…} may stand in one another.
const MOST_NESTED: usize = 8;
/// Memory that one pattern may take, compiled.
const MOST_MEMORY: usize = 1 << 20;

/// What is wrong with a pattern.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum GlobError {
    /// It is empty.
    #[error("must not be empty: \"**\" finds everything")]
    Empty,
    /// It is longer than `MOST_BYTES`.
    #[error("must have at most {MOST_BYTES} bytes")]
    TooLong,
    /// It begins or ends with '/'.
    #[error(
        "must not begin or end with '/': it is matched against paths from where the search begins"
    )]
    Slash,
    /// A `[` without its `]`, or an empty class.
    #[error(
        "has a '[' without its ']', or with nothing in between; \"\\[\" is the character itself"
    )]
    Class,
    /// A range that ends before it begins, or crosses components.
    #[error("has a range in [] that ends before it begins, or a '/' in []")]
    Range,
    /// A `{` without its `}`, or the other way round.
    #[error(
        "has a '{{' without its '}}', or the other way round; \"\\{{\" is the character itself"
    )]
    Brace,
    /// It ends with a backslash.
    #[error("must not end with '\\': it takes the character after it as it is")]
    Backslash,
    /// It takes too much memory, or nests {} too deep.
    #[error("is too complex: use several searches")]
    TooComplex,
}

/// A pattern.
#[derive(Clone, Debug)]
pub struct Glob {
    regex: Regex,
    /// Without a '/': for names at any depth.
    is_for_names: bool,
}

impl Glob {
    /// Reads a pattern. With `ignore_case`, capital and small letters of ASCII are the same.
    ///
    /// # Errors
    /// See [`GlobError`].
    pub fn parse(pattern: &str, ignore_case: bool) -> Result<Self, GlobError> {
        if pattern.is_empty() {
            return Err(GlobError::Empty);
        }
        if pattern.len() > MOST_BYTES {
            return Err(GlobError::TooLong);
        }
        if pattern.starts_with('/') || pattern.ends_with('/') {
            return Err(GlobError::Slash);
        }
        let translated = Translation::of(pattern, ignore_case)?;
        let regex = RegexBuilder::new(&translated)
            .size_limit(MOST_MEMORY)
            .dfa_size_limit(MOST_MEMORY)
            .build()
            .map_err(|_| GlobError::TooComplex)?;
        Ok(Self {
            regex,
            is_for_names: !pattern.contains('/'),
        })
    }

    /// Whether it matches an entry of this path, from where the search begins, and name.
    #[must_use]
    pub fn matches(&self, path: &[u8], name: &[u8]) -> bool {
        let text = if self.is_for_names { name } else { path };
        self.regex.is_match(&as_text(text))
    }
}

/// Bytes that are no UTF-8 become characters that no name has: the last 128 of plane 16, for private use.
fn as_text(bytes: &[u8]) -> Cow<'_, str> {
    if let Ok(text) = std::str::from_utf8(bytes) {
        return Cow::Borrowed(text);
    }
    let mut text = String::with_capacity(4 * bytes.len());
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        let strange = chunk.invalid().iter();
        text.extend(strange.filter_map(|byte| char::from_u32(0x0010_ff00 + u32::from(*byte))));
    }
    Cow::Owned(text)
}

/// A regular expression in the making.
struct Translation<'a> {
    pattern: Peekable<Chars<'a>>,
    ignore_case: bool,
    regex: String,
    /// A component does, with the next character.
    begins: bool,
    /// Of each brace that is open: whether a component begins with each of its alternatives.
    braces: Vec<bool>,
}

impl<'a> Translation<'a> {
    fn of(pattern: &'a str, ignore_case: bool) -> Result<String, GlobError> {
        let mut translation = Self {
            pattern: pattern.chars().peekable(),
            ignore_case,
            // '.' is any character, newlines too.
            regex: "(?s)^".to_owned(),
            begins: true,
            braces: Vec::new(),
        };
        while let Some(character) = translation.pattern.next() {
            let begins = mem::take(&mut translation.begins);
            translation.character(character, begins)?;
        }
        if !translation.braces.is_empty() {
            return Err(GlobError::Brace);
        }
        translation.regex.push('$');
        Ok(translation.regex)
    }

    /// `begins`: a component does, with this one.
    fn character(&mut self, character: char, begins: bool) -> Result<(), GlobError> {
        match character {
            '?' => self.regex.push_str("[^/]"),
            '*' => self.stars(begins),
            '[' => self.class()?,
            '{' => {
                if self.braces.len() >= MOST_NESTED {
                    return Err(GlobError::TooComplex);
                }
                self.braces.push(begins);
                self.begins = begins;
                self.regex.push_str("(?:");
            }
            '}' => {
                self.braces.pop().ok_or(GlobError::Brace)?;
                self.regex.push(')');
            }
            ',' if !self.braces.is_empty() => {
                self.begins = self.braces.last().copied().unwrap_or(false);
                self.regex.push('|');
            }
            '/' => {
                self.begins = true;
                self.literal('/');
            }
            '\\' => {
                let next = self.pattern.next().ok_or(GlobError::Backslash)?;
                self.literal(next);
            }
            other => self.literal(other),
        }
        Ok(())
    }

    fn stars(&mut self, begins: bool) {
        if self.pattern.next_if_eq(&'*').is_none() {
            self.regex.push_str("[^/]*");
            return;
        }
        while self.pattern.next_if_eq(&'*').is_some() {}
        if begins && self.pattern.next_if_eq(&'/').is_some() {
            // Any number of components, none among them.
            self.regex.push_str("(?:.*/)?");
            self.begins = true;
        } else {
            self.regex.push_str(".*");
        }
    }

    fn literal(&mut self, character: char) {
        if self.ignore_case && character.is_ascii_alphabetic() {
            let (small, capital) = (
                character.to_ascii_lowercase(),
                character.to_ascii_uppercase(),
            );
            self.regex.extend(['[', small, capital, ']']);
        } else {
            self.code(character);
        }
    }

    /// Whatever it means to a regular expression otherwise.
    fn code(&mut self, character: char) {
        // Writing to a string does not fail.
        let _ = write!(self.regex, "\\x{{{:x}}}", u32::from(character));
    }

    fn class(&mut self) -> Result<(), GlobError> {
        let negated = self.pattern.next_if(|next| matches!(next, '!' | '^'));
        // What is not in the class is still in the component.
        self.regex
            .push_str(if negated.is_some() { "[^/" } else { "[" });
        let mut is_empty = true;
        loop {
            let first = match self.pattern.next().ok_or(GlobError::Class)? {
                ']' if is_empty => return Err(GlobError::Class),
                ']' => break,
                first => self.unescaped(first)?,
            };
            is_empty = false;
            let mut last = first;
            let mut ahead = self.pattern.clone();
            if ahead.next() == Some('-') && ahead.next().is_some_and(|next| next != ']') {
                self.pattern.next();
                let end = self.pattern.next().ok_or(GlobError::Class)?;
                last = self.unescaped(end)?;
            }
            if first > last || (first..=last).contains(&'/') {
                return Err(GlobError::Range);
            }
            self.range(first, last);
            if self.ignore_case {
                self.other_case(first, last);
            }
        }
        self.regex.push(']');
        Ok(())
    }

    fn unescaped(&mut self, character: char) -> Result<char, GlobError> {
        match character {
            '\\' => self.pattern.next().ok_or(GlobError::Backslash),
            other => Ok(other),
        }
    }

    fn range(&mut self, first: char, last: char) {
        self.code(first);
        self.regex.push('-');
        self.code(last);
    }

    fn other_case(&mut self, first: char, last: char) {
        for (begin, end) in [('a', 'z'), ('A', 'Z')] {
            let (begin, end) = (first.max(begin), last.min(end));
            if begin <= end {
                let other = |letter: char| match letter.is_ascii_lowercase() {
                    true => letter.to_ascii_uppercase(),
                    false => letter.to_ascii_lowercase(),
                };
                self.range(other(begin), other(end));
            }
        }
    }
}

#[cfg(test)]
mod tests;

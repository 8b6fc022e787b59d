//! What matches, and what is no pattern.

#![allow(clippy::unwrap_used, reason = "tests")]

use proptest::prelude::*;

use super::*;

fn matches(pattern: &str, path: &[u8]) -> bool {
    let name = path.rsplit(|byte| *byte == b'/').next().unwrap();
    Glob::parse(pattern, false).unwrap().matches(path, name)
}

#[test]
fn each_sign_means_what_the_api_says() {
    for (pattern, matching, other) in [
        (
            "*.rs",
            &["a.rs", "d/a.rs", ".rs", "d/e/x.y.rs"][..],
            &["a.rsx", "rs", "a.rs/b"][..],
        ),
        (
            "src/*.rs",
            &["src/a.rs"],
            &["src/d/a.rs", "a.rs", "x/src/a.rs"],
        ),
        (
            "src/**/*.rs",
            &["src/a.rs", "src/d/e/a.rs"],
            &["srcs/a.rs", "src/a.c"],
        ),
        ("**/x", &["x", "a/x", "a/b/x"], &["ax", "a/bx"]),
        ("a/**", &["a/b", "a/b/c"], &["a", "ab"]),
        ("**", &["a", "a/b", "new\nline"], &[]),
        ("a**z", &["az", "abz", "d/abz"], &["abzx"]),
        ("d/a**z", &["d/az", "d/a/b/z"], &["d/x/az"]),
        ("?", &["a", "é", "d/日", "\n"], &["ab", ""]),
        ("[a-c]x", &["ax", "d/cx"], &["dx", "-x"]),
        ("[!a-c]", &["d", "é"], &["a"]),
        ("d/[!a]", &["d/b"], &["d/a", "d//"]),
        ("[a-]", &["a", "-"], &["b"]),
        ("[é]", &["é"], &["e"]),
        (
            "{a,b{1,2}}.txt",
            &["a.txt", "b1.txt", "b2.txt"],
            &["b.txt", "b12.txt"],
        ),
        ("{src,tests}/*.rs", &["src/a.rs", "tests/a.rs"], &["a.rs"]),
        ("{**/a.rs,b}", &["a.rs", "d/a.rs", "b"], &["xa.rs", "d/b"]),
        ("d/{**/x,y}", &["d/x", "d/e/x", "d/y"], &["d/ex", "x"]),
        ("a/**/**/b", &["a/b", "a/c/b", "a/c/d/b"], &["ab", "a/cb"]),
        (r"\*\{", &["*{"], &["a{"]),
        ("a.b+(c)|d^$", &["a.b+(c)|d^$"], &["axb+(c)|d^$"]),
    ] {
        for path in matching {
            assert!(matches(pattern, path.as_bytes()), "{pattern} on {path:?}");
        }
        for path in other {
            assert!(!matches(pattern, path.as_bytes()), "{pattern} on {path:?}");
        }
    }
}

#[test]
fn a_byte_that_is_no_text_is_one_character() {
    for (pattern, path, wanted) in [
        ("?", &b"\xff"[..], true),
        ("??", b"\xff\xfe", true),
        ("?", b"\xff\xfe", false),
        ("a*z", b"a\xff\xc3z", true),
        ("[!a]", b"\xff", true),
        ("\u{fffd}", b"\xff", false),
    ] {
        assert_eq!(
            matches(pattern, path),
            wanted,
            "{pattern} on {}",
            path.escape_ascii()
        );
    }
}

#[test]
fn without_case_the_letters_of_ascii_are_the_same_and_no_others() {
    for (pattern, path, wanted) in [
        ("readme*", "ReadMe.TXT", true),
        ("[x-z][M-O]", "Yn", true),
        ("[!a]", "A", false),
        ("É", "é", false),
    ] {
        let glob = Glob::parse(pattern, true).unwrap();
        assert_eq!(
            glob.matches(path.as_bytes(), path.as_bytes()),
            wanted,
            "{pattern}"
        );
    }
}

#[test]
fn what_is_wrong_with_a_pattern_is_told() {
    let (long, deep) = ("a".repeat(MOST_BYTES + 1), "{".repeat(MOST_NESTED + 1));
    for (pattern, error) in [
        ("", GlobError::Empty),
        (long.as_str(), GlobError::TooLong),
        ("/a", GlobError::Slash),
        ("a/", GlobError::Slash),
        ("[a", GlobError::Class),
        ("[]", GlobError::Class),
        ("[", GlobError::Class),
        ("[z-a]", GlobError::Range),
        ("[+-9]", GlobError::Range),
        ("{a", GlobError::Brace),
        ("a}", GlobError::Brace),
        ("a\\", GlobError::Backslash),
        (deep.as_str(), GlobError::TooComplex),
    ] {
        assert_eq!(Glob::parse(pattern, false).err(), Some(error), "{pattern}");
    }
}

#[test]
fn a_pattern_made_to_be_slow_is_not() {
    let pattern = "*a".repeat(MOST_BYTES / 2);
    let begun = std::time::Instant::now();
    let glob = Glob::parse(&pattern, false).unwrap();
    for _ in 0..10 {
        assert!(!glob.matches(&[b'a'; 255], &[b'a'; 255]));
    }
    assert!(
        begun.elapsed() < std::time::Duration::from_secs(5),
        "{:?}",
        begun.elapsed()
    );
}

proptest! {
    #[test]
    fn no_pattern_and_no_name_is_a_panic(
        pattern in r"[\[\]{}*?,!^/a-c\\é-]{1,20}",
        name in prop::collection::vec(any::<u8>(), 0..20),
        ignore_case in any::<bool>(),
    ) {
        if let Ok(glob) = Glob::parse(&pattern, ignore_case) {
            let _ = glob.matches(&name, &name);
        }
    }

    #[test]
    fn a_name_with_all_its_signs_taken_as_they_are_matches_itself_only(
        name in "\\PC{1,10}", other in "\\PC{1,10}",
    ) {
        prop_assume!(!name.contains('/'));
        let pattern: String = name.chars().flat_map(|c| ['\\', c]).collect();
        let glob = Glob::parse(&pattern, false).unwrap();
        prop_assert!(glob.matches(name.as_bytes(), name.as_bytes()));
        prop_assert_eq!(glob.matches(other.as_bytes(), other.as_bytes()), name == other);
    }
}

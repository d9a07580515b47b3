//! One word for one thing: no two public types share a name, and words that the project has given up stay away.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::house::{read, root, show};
use crate::source::{code_of, line_of, tokens};

/// Identifiers that were private words for things which have a standard name, with that name.
const RETIRED_IDENTIFIERS: &[(&str, &str)] = &[
    ("Ring", "Wakeup"),
    ("ring_due", "wake_due_senders"),
    ("RING_SECONDS", "WAKE_DEBOUNCE_SECONDS"),
    ("Lane", "SenderState or WorkKind"),
    ("take_lane", "lease_sender"),
    ("write_lane", "save_sender"),
    ("Flight", "InFlight"),
    ("FirstAnswer", "StoredResponse"),
    ("Told", "DeliveryReport"),
    ("note_record", "apply_delivery_report"),
    ("remember_told", "save_early_report"),
    ("Deed", "AuditEntry"),
    ("write_down", "audit entry"),
    ("Upkeep", "RefreshState"),
    ("upkeep", "keepalive"),
    ("rescue", "deferred write"),
    ("in_vain", "unanswered"),
    ("Usable", "UsableToken"),
    ("after_refusal", "replace_rejected_token"),
    ("Keeper", "TokenSource"),
    ("keep_quiet", "rate_limited_until"),
    ("quiet_until", "rate_limited_until"),
    ("heed_penalty", "check_rate_limit"),
    ("heed", "apply_outcome"),
    ("take_news", "sync_changes"),
    ("enter_endpoint", "acquire_slot"),
    ("Entered", "SlotOutcome"),
    ("forgive", "reset_endpoint"),
    ("Drill", "restore check"),
    ("Remembered", "TtlCache"),
    ("Turns", "KeyedMutex"),
    ("while_due", "drain_due"),
];

/// Phrases that are not how technical English says it. Matched as whole words in every text of the repository.
const RETIRED_PHRASES: &[&str] = &[
    "whoever",
    "somebody",
    "is told",
    "are told",
    "was told",
    "what became of",
    "becomes of it",
    "so many of",
    "in vain",
    "rules of the house",
    "the button's page",
    "the operator's page",
    "in words of our own",
    "of its own",
    "of their own",
    "by itself",
    "nobody",
    "lane of",
    "a text goes",
    "texts that go out",
    "rings the worker",
];

#[test]
fn retired_identifiers_and_phrases_stay_away() {
    let mut found = Vec::new();
    for file in tracked(&["rs", "md", "yaml", "html", "css", "toml", "json", "py", "js", "sh", "run"]) {
        let text = read(&file);
        if file.extension().is_some_and(|extension| extension == "rs") {
            found.extend(
                retired_identifiers(&text).into_iter().map(|what| format!("{}: {what}", show(&file))),
            );
        }
        found.extend(retired_phrases(&text).into_iter().map(|what| format!("{}: {what}", show(&file))));
    }
    assert!(found.is_empty(), "{} retired words:\n{}", found.len(), found.join("\n"));
}

#[test]
fn no_two_public_types_share_a_name() {
    let files: Vec<PathBuf> = tracked(&["rs"])
        .into_iter()
        .filter(|file| !file.starts_with(root().join("shared/ringcentral")))
        .collect();
    assert!(files.len() > 200, "the sources were not found");
    let shared = duplicates(files.iter().map(|file| (show(file), read(file))));
    assert!(shared.is_empty(), "public types of one name:\n{}", shared.join("\n"));
}

#[test]
fn planted_words_and_types_are_found() {
    assert_eq!(retired_identifiers("fn f(x: Ring) {}"), ["line 1: Ring, say Wakeup"]);
    assert_eq!(retired_identifiers("\nstruct Deed;"), ["line 2: Deed, say AuditEntry"]);
    assert_eq!(retired_phrases("The worker\nis told to wake."), ["line 2: \"is told\""]);
    assert_eq!(retired_phrases("Whoever asks"), ["line 1: \"whoever\""]);
    let planted = [("a.rs", "pub struct Order;"), ("b.rs", "pub enum Order {}"), ("c.rs", "struct Order;")];
    let planted = planted.map(|(file, text)| (file.to_owned(), text.to_owned()));
    assert_eq!(duplicates(planted), ["Order: a.rs, b.rs"]);
}

#[test]
fn ordinary_words_are_not_retired() {
    let none: [String; 0] = [];
    assert_eq!(retired_identifiers("fn string(ring: &str) -> Ringbridge {} // Ring, Deed"), none);
    assert_eq!(retired_identifiers("let a = \"Ring\";"), none);
    assert_eq!(retired_phrases("The planes of this hotelier"), none);
}

fn retired_identifiers(text: &str) -> Vec<String> {
    let code = code_of(text);
    let words = tokens(&code);
    let retired = words.iter().filter_map(|(at, word)| {
        let (retired, instead) = RETIRED_IDENTIFIERS.iter().find(|(retired, _)| retired == word)?;
        Some(format!("line {}: {retired}, say {instead}", line_of(&code, *at)))
    });
    retired.collect()
}

fn retired_phrases(text: &str) -> Vec<String> {
    // Of the same length, so that places in it are places in the text.
    let lower = text.to_ascii_lowercase();
    let is_word = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let mut found = Vec::new();
    for phrase in RETIRED_PHRASES {
        for (at, _) in lower.match_indices(phrase) {
            let alone = !is_word(lower[..at].chars().next_back())
                && !is_word(lower[at + phrase.len()..].chars().next());
            if alone {
                found.push(format!("line {}: \"{phrase}\"", line_of(text, at)));
            }
        }
    }
    found
}

/// Names of public types that more than one place defines, with the places.
fn duplicates(files: impl IntoIterator<Item = (String, String)>) -> Vec<String> {
    let mut types: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (file, text) in files {
        let code = code_of(&text);
        let words: Vec<String> = tokens(&code).into_iter().map(|(_, word)| word).collect();
        for window in words.windows(3) {
            let kind = ["struct", "enum", "trait", "type", "union"].contains(&window[1].as_str());
            // Not the variable of a macro.
            let is_name = window[2].starts_with(char::is_alphabetic);
            if window[0] == "pub" && kind && is_name {
                types.entry(window[2].clone()).or_default().push(file.clone());
            }
        }
    }
    let several = types.into_iter().filter(|(_, files)| files.len() > 1);
    several.map(|(name, files)| format!("{name}: {}", files.join(", "))).collect()
}

/// The files that git tracks, with one of these endings or names, this one excepted.
fn tracked(endings: &[&str]) -> Vec<PathBuf> {
    let output = Command::new("git").args(["ls-files", "-z"]).current_dir(root()).output().unwrap();
    assert!(output.status.success(), "git ls-files: {}", String::from_utf8_lossy(&output.stderr));
    let names = String::from_utf8(output.stdout).unwrap();
    let wanted = |name: &&str| {
        let path = Path::new(name);
        let ending = path.extension().or(path.file_name()).map(|ending| ending.to_string_lossy());
        ending.is_some_and(|ending| endings.contains(&&*ending))
            && !["tests/it/vocabulary.rs", "Cargo.lock"].contains(name)
    };
    let files = names.split('\0').filter(wanted).map(|name| root().join(name));
    files.filter(|file| file.is_file()).collect()
}

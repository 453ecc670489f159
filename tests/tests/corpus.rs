//! Replays what the fuzzers have found worth keeping: `tests/fuzz/corpus/<target>/`.

use ounce_tests::targets::ALL;
use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

fn inputs(target: &str) -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("fuzz/corpus").join(target);
    let entries = fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut inputs: Vec<PathBuf> = entries.map(|entry| entry.expect("a file").path()).collect();
    inputs.sort_unstable();
    inputs
}

#[test]
fn every_corpus_passes() {
    for (name, target) in ALL {
        let inputs = inputs(name);
        assert!(inputs.len() >= 50, "{name}: {} inputs", inputs.len());
        for input in inputs {
            let bytes = fs::read(&input).expect("a file");
            let passed = catch_unwind(AssertUnwindSafe(|| target(&bytes)));
            assert!(passed.is_ok(), "{name}: {}", input.display());
        }
    }
}

/// A few thousand changes to what is known, from one seed each: cheap, and no fuzzer is at hand in a normal run.
#[test]
fn slightly_changed_inputs_pass_too() {
    for (name, target) in ALL {
        let known: Vec<Vec<u8>> = inputs(name).iter().map(|input| fs::read(input).expect("a file")).collect();
        for seed in 0..3000 {
            let mut random = fastrand::Rng::with_seed(seed);
            let mut bytes = known[random.usize(0..known.len())].clone();
            for _ in 0..random.usize(1..4) {
                let at = random.usize(0..=bytes.len());
                match random.u8(0..4) {
                    0 => bytes.insert(at, random.u8(..)),
                    1 => bytes.insert(at, b"\r\n:, ;\t0\""[random.usize(0..9)]),
                    2 if at < bytes.len() => drop(bytes.remove(at)),
                    _ => {
                        let other = &known[random.usize(0..known.len())];
                        bytes.truncate(at);
                        bytes.extend_from_slice(&other[random.usize(0..=other.len())..]);
                    }
                }
            }
            let passed = catch_unwind(AssertUnwindSafe(|| target(&bytes)));
            assert!(passed.is_ok(), "{name}, seed {seed}: {:?}", String::from_utf8_lossy(&bytes));
        }
    }
}

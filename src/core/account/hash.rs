//! What a stored password hash may ask of the machine that checks it. A hash names its own costs, and one that comes from elsewhere may name
//! any.

/// Memory in KiB: 64 MiB, three times what this program's own hashes take.
const MOST_MEMORY: u32 = 64 * 1024;

/// Passes over it: five times as many.
const MOST_PASSES: u32 = 10;

/// Lanes.
const MOST_LANES: u32 = 4;

/// The longest hash, in bytes: salt and output of 64 bytes each take 200.
const LONGEST: usize = 300;

/// Whether a hash in the PHC string format is Argon2id with costs that a small board bears. Whether it is well formed otherwise is for the
/// library to say.
pub fn is_bearable(phc: &str) -> bool {
    let mut parts = phc.split('$').skip(1).filter(|part| !part.starts_with("v="));
    if phc.len() > LONGEST || parts.next() != Some("argon2id") {
        return false;
    }
    let costs = parts.next().unwrap_or_default();
    let cost = |name: &str| {
        let mut found = costs.split(',').filter_map(|cost| cost.strip_prefix(name)?.strip_prefix('='));
        // One that is named twice is another for each reader.
        found.next().filter(|_| found.next().is_none())?.parse::<u32>().ok()
    };
    let within = |name, most| cost(name).is_some_and(|cost| (1..=most).contains(&cost));
    within("m", MOST_MEMORY) && within("t", MOST_PASSES) && within("p", MOST_LANES)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_that_asks_for_more_than_a_small_board_has_is_refused() {
        let hash = |costs: &str| format!("$argon2id$v=19${costs}$c2FsdHNhbHRzYWx0c2FsdA$aGFzaA");
        for costs in ["m=19456,t=2,p=1", "m=65536,t=10,p=4", "m=47104,t=1,p=1"] {
            assert!(is_bearable(&hash(costs)), "{costs}");
        }
        for costs in [
            "m=65537,t=2,p=1",
            "m=19456,t=11,p=1",
            "m=19456,t=2,p=5",
            "m=19456,t=2",
            "",
            "m=19456,t=2,p=1,m=65537",
            "m=x,t=2,p=1",
            "m=0,t=2,p=1",
        ] {
            assert!(!is_bearable(&hash(costs)), "{costs}");
        }
        assert!(!is_bearable("$argon2i$v=19$m=19456,t=2,p=1$c2FsdA$aGFzaA"));
        assert!(!is_bearable(&hash("m=19456,t=2,p=1").repeat(8)));
        assert!(!is_bearable(""));
    }
}

//! What holds of the access point, whatever is seen in whatever order.

use std::time::Duration;

use proptest::prelude::*;

use super::{CABLE_TIME, Hotspot, LOOK_TIME, Purpose, Rule, Seen, Want};
use crate::core::moment::Moment;

const AFTER: Duration = Duration::from_mins(2);

fn seen() -> impl Strategy<Value = Seen> {
    let first = (any::<bool>(), any::<bool>(), prop::bool::weighted(0.9), any::<bool>(), any::<bool>(), any::<bool>());
    let second = (
        any::<bool>(),
        any::<bool>(),
        prop::bool::weighted(0.2),
        any::<bool>(),
        prop::bool::weighted(0.1),
        any::<bool>(),
    );
    (first, second).prop_map(
        |((claimed, show, radio, cable, uplink, beside), (portal, known, joining, failed, flag, guests))| Seen {
            claimed,
            show,
            radio,
            cable,
            uplink,
            beside,
            portal,
            known,
            joining,
            failed,
            flag,
            guests,
        },
    )
}

/// Seconds for which something is seen, what, and what a person asks for before.
fn evening() -> impl Strategy<Value = Vec<(u64, Seen, Option<bool>)>> {
    prop::collection::vec((1_u64..400, seen(), prop::option::weighted(0.1, any::<bool>())), 1..12)
}

fn hotspot() -> impl Strategy<Value = Hotspot> {
    prop_oneof![Just(Hotspot::Off), Just(Hotspot::Setup), Just(Hotspot::Always)]
}

proptest! {
    #[test]
    fn promises_hold(hotspot in hotspot(), evening in evening()) {
        let mut rule = Rule::new(hotspot, AFTER, Moment::ZERO);
        let mut now = Moment::ZERO;
        let (mut was, mut no_way_since, mut looking) = (Want::Down, None, Duration::ZERO);
        for (seconds, seen, asked) in evening {
            if let Some(on) = asked {
                rule.ask(on, now);
                no_way_since = None;
            }
            for second in 0..seconds {
                now = now + Duration::from_secs(1);
                let want = rule.look(now, &seen);
                prop_assert!(seen.radio || want == Want::Down, "an access point without a radio");
                if seen.show && seen.uplink && !seen.beside {
                    prop_assert_eq!(want, Want::Down, "raised over a network that carries a show");
                }
                if seen.joining && !seen.beside {
                    prop_assert_eq!(want, Want::Down, "in the way of a join");
                }
                // Under somebody in the middle of a step it stays, unless the radio is gone, needed for what they asked for, or they said so.
                let taken = !seen.radio || (seen.joining && !seen.beside) || (seen.show && seen.uplink && !seen.beside);
                if was.is_up() && seen.guests && !taken && (second > 0 || asked.is_none()) {
                    prop_assert!(want.is_up(), "torn down under somebody: {:?} -> {:?}", was, want);
                    let closed = |want| matches!(want, Want::Up(Purpose::Guests, _));
                    prop_assert_eq!(closed(was), closed(want), "another network under somebody");
                }
                // A look is short, and nobody is there.
                looking = if want == Want::Look { looking + Duration::from_secs(1) } else { Duration::ZERO };
                prop_assert!(looking <= LOOK_TIME);
                prop_assert!(want != Want::Look || (!seen.guests && seen.known && !seen.uplink));
                // Where nothing else leads to the box, it does.
                let no_way = hotspot != Hotspot::Off && seen.radio && !seen.uplink && !seen.cable && !seen.joining;
                no_way_since = no_way.then(|| no_way_since.unwrap_or(now));
                if let Some(since) = no_way_since
                    && now.since(since) > AFTER.max(CABLE_TIME)
                {
                    prop_assert!(want != Want::Down, "no way in for {:?}", now.since(since));
                }
                was = want;
            }
        }
    }
}

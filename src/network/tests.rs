use super::profile::Channel;

#[test]
fn channel_is_the_one_that_the_fewest_use() {
    assert_eq!(Channel::quietest(std::iter::empty()), Channel(6));
    assert_eq!(Channel::quietest([(2437, 80)].into_iter()), Channel(1));
    assert_eq!(Channel::quietest([(2437, 80), (2412, 30), (2462, 20), (2422, 10)].into_iter()), Channel(11));
    // Those of 5 GHz do not count.
    assert_eq!(Channel::quietest([(5180, 99)].into_iter()), Channel(6));
    assert_eq!(Channel::of(2412), Some(Channel(1)));
    assert_eq!(Channel::of(2472), Some(Channel(13)));
    assert_eq!(Channel::of(5180), Some(Channel(36)));
    assert_eq!(Channel::of(60_000), None);
}

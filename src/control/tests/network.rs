//! What the box joins, its addresses, and its own access point.

use std::sync::Arc;

use super::*;
use crate::{
    control::{
        network::{self, AddressWanted, JoinWifi},
        night,
        testing::{cable, on_the_access_point, radio, seen},
    },
    core::network::{Purpose, Reason, wifi::WifiError},
    network::{Internet, NetworkError, Snapshot},
};

fn wifi(ssid: &str, password: &str) -> JoinWifi {
    let password = Some(password.into());
    JoinWifi { ssid: ssid.to_owned(), password, hidden: false, identity: Some(" ".to_owned()), server: None }
}

fn fixed(address: &str) -> AddressWanted {
    AddressWanted { address: Some(address.to_owned()), ..AddressWanted::default() }
}

/// The box sees this, and everybody who follows has been told.
async fn sees(room: &mut Room, snapshot: Snapshot) {
    room.whole.network.publish.send_replace(Arc::new(snapshot));
    room.until_told(&News::NetworkChanged).await;
}

impl Room {
    /// Waits until this is told.
    async fn until_told(&mut self, news: &News) {
        let told = async { while self.news.next().await != Some(Heard::News(news.clone())) {} };
        tokio::time::timeout(Duration::from_secs(10), told).await.unwrap();
    }
}

#[tokio::test]
async fn what_is_ordered_of_the_network_reaches_it_and_no_password_the_log() {
    let mut room = Room::open(&[]).await;
    let mut heard = room.whole.network.carried_out();
    sees(&mut room, seen(vec![cable(Internet::Full), radio(None, Internet::None)])).await;
    let joined =
        room.order(&Caller::Token, async |control, by| network::join(control, by, wifi(" Venue ", "swordfish")).await);
    joined.await.done_quietly("admin.token network.join Venue");
    assert_eq!(heard.recv().await.unwrap(), "join Venue with a password");
    let open = room.order(&Caller::Token, async |control, by| network::join(control, by, wifi("Bar", "")).await);
    open.await.done_quietly("admin.token network.join Bar");
    assert_eq!(heard.recv().await.unwrap(), "join Bar");
    let forgotten = room.order(&Caller::Token, async |control, by| network::forget(control, by, "Campus").await);
    forgotten.await.done_quietly("admin.token network.forget Campus");
    assert_eq!(heard.recv().await.unwrap(), "forget Campus");
    let raised = room.order(&Caller::Token, async |control, by| network::hotspot(control, by, true).await);
    raised.await.done_quietly("admin.token network.hotspot on");
    assert_eq!(heard.recv().await.unwrap(), "access point up");
    let given =
        async |control: &Control, by: &By| network::address(control, by, "eth0", &AddressWanted::default()).await;
    room.order(&Caller::Token, given).await.done_quietly("admin.token network.address eth0: given");
    assert_eq!(heard.recv().await.unwrap(), "eth0: Given");
    let wrong = async |control: &Control, by: &By| network::address(control, by, "eth0", &fixed("10.0.0.300/8")).await;
    room.order(&Caller::Token, wrong)
        .await
        .denied("admin.token network.address eth0: 10.0.0.300/8", "such as 192.168.1.7/24");
    let kept = room.order(&Caller::Token, async |control, by| network::confirm(control, by, true).await);
    kept.await.done_quietly("admin.token network.confirm kept");
    assert_eq!(heard.recv().await.unwrap(), "confirm true");
}

#[tokio::test]
async fn show_is_not_cut_off_by_a_change_of_the_network_that_carries_it() {
    let mut room = Room::open(&[]).await;
    let mut heard = room.whole.network.carried_out();
    room.order(&Caller::Token, async |control, by| night::switch_show(control, by, true).await).await.outcome.unwrap();
    room.until(|queue| queue.show).await;
    sees(&mut room, seen(vec![radio(Some("Campus"), Internet::Full)])).await;
    let why = "a show is on and goes over the Wi-Fi Campus";
    let join = async |control: &Control, by: &By| network::join(control, by, wifi("Venue", "swordfish")).await;
    let forget = async |control: &Control, by: &By| network::forget(control, by, "Campus").await;
    let address =
        async |control: &Control, by: &By| network::address(control, by, "wlan0", &fixed("10.1.2.9/24")).await;
    room.order(&Caller::Token, join).await.denied("admin.token network.join Venue", why);
    room.order(&Caller::Token, forget).await.denied("admin.token network.forget Campus", why);
    room.order(&Caller::Token, address).await.denied("admin.token network.address wlan0: 10.1.2.9/24", why);
    let raise = async |control: &Control, by: &By| network::hotspot(control, by, true).await;
    sees(&mut room, Snapshot { one_radio: true, ..seen(vec![radio(Some("Campus"), Internet::Full)]) }).await;
    room.order(&Caller::Token, raise).await.denied("admin.token network.hotspot on", why);

    // A cable carries it: the radio is free.
    sees(&mut room, seen(vec![cable(Internet::Full), radio(None, Internet::None)])).await;
    room.order(&Caller::Token, join).await.done_quietly("admin.token network.join Venue");
    room.order(&Caller::Token, forget).await.done_quietly("admin.token network.forget Campus");
    room.order(&Caller::Token, address).await.done_quietly("admin.token network.address wlan0: 10.1.2.9/24");
    room.order(&Caller::Token, raise).await.done_quietly("admin.token network.hotspot on");
    let cabled =
        async |control: &Control, by: &By| network::address(control, by, "eth0", &fixed("192.168.1.9/24")).await;
    let row = "admin.token network.address eth0: 192.168.1.9/24";
    room.order(&Caller::Token, cabled).await.denied(row, "goes over the network cable");

    // Streamers' encoders are on the box's own Wi-Fi.
    sees(&mut room, on_the_access_point(Purpose::Guests, Reason::Always)).await;
    let lower = async |control: &Control, by: &By| network::hotspot(control, by, false).await;
    room.order(&Caller::Token, join)
        .await
        .denied("admin.token network.join Venue", "streamers are on the box's own Wi-Fi");
    room.order(&Caller::Token, lower)
        .await
        .denied("admin.token network.hotspot off", "streamers are on the box's own Wi-Fi");
    let mut words = Vec::new();
    while let Ok(order) = heard.try_recv() {
        words.push(order.split(' ').next().unwrap().to_owned());
    }
    assert_eq!(words, ["join", "forget", "wlan0:", "access"], "what was denied reached nobody");
}

#[tokio::test]
async fn changed_settings_of_the_network_are_handed_on() {
    let mut room = Room::open(&[]).await;
    let edits = [("network.hotspot", "always".into()), ("network.setup_password", "open sesame".into())];
    let edits = edits.map(|(key, value): (&str, serde_json::Value)| (key.to_owned(), value)).into();
    let change = async |control: &Control, by: &By| super::super::settings::change(control, by, edits).await;
    let mut seen = room.parts().network.configured();
    room.order(&Caller::Token, change)
        .await
        .done("admin.token settings.change network.hotspot, network.setup_password");
    assert!(seen.has_changed().unwrap());
    let now = seen.borrow_and_update().clone();
    assert_eq!(now.hotspot, crate::core::network::Hotspot::Always);
    let password = network::guests_password(&room.control).unwrap();
    assert_eq!(secrecy::ExposeSecret::expose_secret(&password), "open sesame");
}

#[test]
fn what_the_network_says_is_told_as_it_says_it() {
    let denied = Denied::from(NetworkError::from(WifiError::Length(3)));
    assert!(denied.to_string().contains("this one has 3"));
}

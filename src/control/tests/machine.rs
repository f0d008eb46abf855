//! What only a machine with an image can do, on one without.

use bytes::Bytes;
use futures_util::stream;

use super::*;
use crate::{
    control::machine,
    update::{Progress, UpdateError},
};

type Orders = [(&'static str, &'static str, Ended<()>); 4];

/// Each order to the machine, with its row and what it has to say where there is no image.
async fn each(room: &mut Room) -> Orders {
    let stick =
        async |control: &Control, by: &By| machine::install_from_stick(control, by, "new.raucb".to_owned()).await;
    let upload = async |control: &Control, by: &By| {
        let upload = stream::iter([Ok::<_, std::convert::Infallible>(Bytes::from_static(b"an update"))]);
        machine::install(control, by, upload).await
    };
    let restart = async |control: &Control, by: &By| machine::restart(control, by).await;
    let reset = async |control: &Control, by: &By| machine::factory_reset(control, by, "Motherstream").await.map(drop);
    let token = &Caller::Token;
    [
        ("admin.token update.install new.raucb", "keeps two systems", room.order(token, stick).await),
        ("admin.token update.install an upload", "keeps two systems", room.order(token, upload).await),
        ("admin.token system.restart", "can start the machine again", room.order(token, restart).await),
        ("admin.token system.factory-reset", "can be reset", room.order(token, reset).await),
    ]
}

#[tokio::test]
async fn without_an_image_each_order_says_what_is_not_there() {
    let mut room = Room::open(&[]).await;
    for (row, why, ended) in each(&mut room).await {
        let denied = ended.denied(row, why);
        assert!(matches!(denied, Denied::Update(UpdateError::NoImage(_))), "{denied}");
    }
    assert!(matches!(machine::updates(&room.control).await, Err(Denied::Update(UpdateError::NoImage(_)))));
    assert_eq!(machine::progress(&room.control), Progress::Nothing);
    assert!(!machine::can_restart(&room.control) && !machine::can_reset(&room.control));
    assert_eq!((machine::memory_disk(&room.control), machine::stick_settings(&room.control)), (None, None));
    let system = machine::system(&room.control).await.unwrap();
    assert_eq!((system.versions.motherstream, system.https.is_none()), (env!("CARGO_PKG_VERSION"), true));
}

#[tokio::test]
async fn machine_is_left_alone_while_a_show_is_on() {
    let mut room = Room::open(&[]).await;
    room.parts().director.begin_show().await.unwrap();
    room.until(|queue| queue.show).await;
    for (row, _, ended) in each(&mut room).await {
        let denied = ended.denied(row, "a show is on: end it first");
        assert!(matches!(denied, Denied::NotNow { .. }), "{denied}");
    }
    assert!(room.folder.path().read_dir().unwrap().all(|file| file.unwrap().file_name() != REQUESTS));
}

#[tokio::test]
async fn factory_reset_asks_for_the_venues_name_on_a_machine_that_has_one() {
    let boot = folder();
    let mut room = Room::open(&[("BOX__BOOT_DIR", boot.path().to_str().unwrap())]).await;
    let requests = room.folder.path().join(REQUESTS);
    std::fs::create_dir(&requests).unwrap();
    let reset = async |room: &mut Room, venue: &str| {
        room.order(&Caller::Token, async |control, by| machine::factory_reset(control, by, venue).await).await
    };
    reset(&mut room, "yes").await.denied("admin.token system.factory-reset", "type the venue's name, Motherstream");
    assert_eq!(requests.read_dir().unwrap().count(), 0);
    assert!(reset(&mut room, " Motherstream ").await.done_quietly("admin.token system.factory-reset"));
    assert!(requests.read_dir().unwrap().count() > 0);
}

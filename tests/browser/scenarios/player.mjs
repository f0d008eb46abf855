// The room watches: a thumbnail that changes, a programme that plays on through takes.
import { assert, DESK, pause, until } from "../world.mjs";

const seen = (page) =>
  page.locator("video").evaluate((video) => {
    const { totalVideoFrames, droppedVideoFrames } = video.getVideoPlaybackQuality();
    return { time: video.currentTime, frames: totalVideoFrames - droppedVideoFrames, width: video.videoWidth };
  });

async function plays(page, what, patience = 20000) {
  const before = await seen(page);
  await until(what, async () => {
    const now = await seen(page);
    return now.time > before.time + 1.5 && now.frames > before.frames + 10;
  }, patience);
}

export default async function (world) {
  const [ada, grace] = [await world.streamer("Ada"), await world.streamer("Grace")];
  world.publish("A", ada);
  await until("Ada to be on air", async () => (await world.onAir()) === "Ada", 15000);
  world.publish("B", grace);
  // While the programme is being made for the first one who asks, there is nothing to watch yet.
  world.expect(/404 \(Not Found/, /503 \(Service Unavailable/);
  const page = await world.visitor({ size: DESK });
  await page.goto("/");
  const picture = page.getByAltText("What is on air now");
  const shown = () => picture.evaluate((image) => (image.naturalWidth > 0 && image.src.startsWith("data:") ? image.src : ""));
  const first = await until("a thumbnail", shown, 15000);
  await until("another thumbnail", async () => ![first, ""].includes(await shown()), 15000);
  assert.ok(!world.requests.some((url) => url.includes("hls.js")), "the player is fetched when it is wanted");
  await page.getByRole("button", { name: "Play" }).click();
  const begun = Date.now();
  await until("the first picture", async () => (await seen(page)).frames > 0, 25000);
  console.log(`  the first picture ${Date.now() - begun} ms after the click`);
  await plays(page, "the programme to play");
  await world.examine(page, "room-playing");
  const waiting = async () => (await world.call("GET", "/api/v1/queue")).waiting;
  for (const name of ["Grace", "Ada"]) {
    const { id } = await until(`${name} to be ready`, async () => (await waiting()).find((entry) => entry.name === name && entry.presence === "ready"), 15000);
    await world.call("POST", `/api/v1/queue/entries/${id}/take`, {});
    await until(`${name} to be on air`, async () => (await world.onAir()) === name, 15000);
    const width = name === "Grace" ? 1280 : 640;
    await until(`${name}'s pictures to be shown`, async () => (await seen(page)).width === width, 25000);
    await plays(page, `the programme to play on with ${name}`);
  }
  await page.getByRole("button", { name: "Stop" }).click();
  await pause(300);
  const before = world.requests.length;
  await pause(2500);
  assert.ok(!world.requests.slice(before).some((url) => url.includes("/watch/")), "nothing is fetched after stopping");
}

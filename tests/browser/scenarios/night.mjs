// Two people run the night, one at a desk and one on a phone: what one does, both see.
import { assert, DESK, PHONE, until } from "../world.mjs";

const order = (page) => page.locator("[data-slots] .queue-name").allTextContents();
const onAir = (page) => page.locator("#air-name").textContent();

export default async function (world) {
  await world.crew("Olga", "admin");
  await world.crew("Otto", "operator");
  for (const [name, asset] of [["Ada", "A"], ["Grace", "B"], ["Hedy", "A"]]) {
    world.publish(asset, await world.streamer(name));
    await until(`${name} to be there`, async () => JSON.stringify(await world.call("GET", "/api/v1/queue")).includes(name), 15000);
  }
  const [olga, otto, room] = [
    await world.visitor({ size: DESK }),
    await world.visitor({ size: PHONE }),
    await world.visitor({ size: PHONE }),
  ];
  await world.signIn(olga, "Olga");
  await world.signIn(otto, "Otto");
  for (const page of [olga, otto]) await page.goto("/admin");
  await room.goto("/");
  const both = (what, so, patience = 10000) =>
    until(what, async () => (await Promise.all([olga, otto].map(so))).every(Boolean), patience);
  await both("both to see Ada on air", async (page) => (await onAir(page)) === "Ada", 15000);
  await both("both to see who waits", async (page) => (await order(page)).join() === "Grace,Hedy", 15000);
  await until("thumbnails of who waits", () => olga.locator("[data-slots] img").evaluateAll((images) => images.length === 2 && images.every((image) => image.naturalWidth > 0)), 15000);
  await world.examine(olga, "night");
  await world.examine(otto, "night-operator", { keyboard: false });

  // Reorder, take it back, reorder by keyboard.
  await olga.getByRole("button", { name: "Move Hedy up" }).click();
  await both("the new order", async (page) => (await order(page)).join() === "Hedy,Grace");
  await olga.getByRole("button", { name: "Undo" }).last().click();
  await both("the old order", async (page) => (await order(page)).join() === "Grace,Hedy");
  await olga.getByRole("button", { name: "Move Hedy up" }).focus();
  await olga.keyboard.press("Enter");
  await both("the new order", async (page) => (await order(page)).join() === "Hedy,Grace");

  assert.equal(world.sent.filter((sent) => sent.endsWith("/move")).length, 3, `each click is one request: ${world.sent}`);
  await until("each to be told once", async () => (await olga.locator(".toast").count()) === 1, 3000);

  // Panic, and back.
  await otto.getByRole("button", { name: "Panic: show the slate" }).click();
  await both("the slate to be told", (page) => page.getByText("The slate is up.").isVisible());
  await room.getByText("A short break").waitFor();
  await olga.getByRole("button", { name: "Back to Ada" }).click();
  await both("the slate to be lifted", (page) => page.getByRole("button", { name: "Panic: show the slate" }).isVisible());

  // Hold and its undoing; the length of turns.
  const hold = (page) => page.getByRole("switch", { name: /Hold the order/ });
  await hold(otto).click();
  await both("the hold", async (page) => (await hold(page).getAttribute("aria-checked")) === "true");
  await hold(olga).click();
  await both("no hold", async (page) => (await hold(page).getAttribute("aria-checked")) === "false");
  await olga.getByLabel("Lasts").fill("30");
  await olga.getByLabel("Lasts").press("Enter");
  await until("the length to be set", async () => (await world.call("GET", "/api/v1/turn")).seconds === 1800);

  // Skip.
  const begun = Date.now();
  await olga.getByRole("button", { name: "Skip to Hedy" }).click();
  await both("both to see Hedy on air", async (page) => (await onAir(page)) === "Hedy", 15000);
  console.log(`  both saw the skip ${Date.now() - begun} ms after the click`);
  await room.getByRole("heading", { name: "Hedy" }).waitFor();
  // Put on air out of turn.
  await otto.getByRole("button", { name: /Put on air\s*: Grace/ }).click();
  await both("both to see Grace on air", async (page) => (await onAir(page)) === "Grace", 15000);
  // An operator has no keys: what only admins may is not offered, and not answered.
  world.expect(/403 \(Forbidden/);
  assert.equal(await otto.evaluate(async () => (await fetch("/api/v1/settings")).status), 403);
}

// The night without JavaScript: what is essential is a plain form.
import { assert, DESK, until } from "../world.mjs";

export default async function (world) {
  await world.crew("Olga", "admin");
  for (const [name, asset] of [["Ada", "A"], ["Grace", "B"], ["Hedy", "A"]]) {
    world.publish(asset, await world.streamer(name));
    await until(`${name} to be there`, async () => JSON.stringify(await world.call("GET", "/api/v1/queue")).includes(name), 15000);
  }
  await until("Ada to be on air", async () => (await world.onAir()) === "Ada", 15000);
  const waiting = async () => (await world.call("GET", "/api/v1/queue")).waiting.map((entry) => entry.name).join();
  await until("two to be ready", async () => (await world.call("GET", "/api/v1/queue")).waiting.every((entry) => entry.presence === "ready"), 15000);
  const page = await world.visitor({ size: DESK, script: false });
  await world.signIn(page, "Olga");
  await page.goto("/admin");
  await page.getByRole("button", { name: "Move Hedy up" }).click();
  assert.equal(new URL(page.url()).pathname, "/admin");
  assert.equal(await waiting(), "Hedy,Grace");
  assert.deepEqual(await page.locator("[data-slots] .queue-name").allTextContents(), ["Hedy", "Grace"]);
  await page.getByRole("button", { name: "Undo" }).click();
  assert.equal(await waiting(), "Grace,Hedy");
  await page.getByRole("button", { name: "Panic: show the slate" }).click();
  await page.getByText("The slate is up.").waitFor();
  await page.screenshot({ path: `${world.artefacts}/night-plain.png`, fullPage: true });
  await page.getByRole("button", { name: "Back to Ada" }).click();
  await page.getByRole("button", { name: "Panic: show the slate" }).waitFor();
  await page.getByRole("switch", { name: /Hold the order/ }).click();
  assert.equal(await page.getByRole("switch", { name: /Hold the order/ }).getAttribute("aria-checked"), "true");
  await page.getByRole("switch", { name: /Hold the order/ }).click();
  await page.getByRole("button", { name: "Skip to Grace" }).click();
  await until("Grace to be on air", async () => (await world.onAir()) === "Grace", 15000);
  // The show is ended and begun on a page of its own, since there is no dialog.
  await page.goto("/admin");
  await page.getByRole("link", { name: /End it/ }).click();
  await page.getByRole("button", { name: "End the show" }).click();
  assert.equal((await world.call("GET", "/api/v1/show")).on, false);
  await page.getByRole("link", { name: /Begin/ }).click();
  await page.getByRole("button", { name: "Begin the show" }).click();
  assert.equal((await world.call("GET", "/api/v1/show")).on, true);
}

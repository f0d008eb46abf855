// The box goes away and comes back: the page says so, tries again, and shows what is true by then.
import { assert, until } from "../world.mjs";

export default async function (world) {
  const key = await world.streamer("Ada");
  const page = await world.visitor();
  const overlay = await world.visitor();
  world.expect(/ERR_CONNECTION_REFUSED/, /ERR_INCOMPLETE_CHUNKED_ENCODING/, /ERR_CONNECTION_RESET/, /ERR_EMPTY_RESPONSE/, /503/);
  await page.goto("/");
  await overlay.goto("/now-page");
  await page.getByText("The stage is free.").waitFor();
  const lost = page.getByText("The box cannot be reached");
  assert.equal(await lost.isVisible(), false);
  await page.evaluate(() => (window.notReloaded = true));
  await world.ask("kill");
  await lost.waitFor({ timeout: 5000 });
  await world.examine(page, "room-lost", { keyboard: false });
  await world.ask("boot");
  await until("the page to find the box again", async () => !(await lost.isVisible()), 12000);
  assert.equal(await page.evaluate(() => window.notReloaded), true, "the page healed without being loaded again");
  world.publish("A", key);
  await page.getByRole("heading", { name: "Ada" }).waitFor({ timeout: 15000 });
  // Overlays come back by themselves, and show no error to the audience meanwhile.
  await overlay.getByText("Ada").first().waitFor({ timeout: 15000 });
}

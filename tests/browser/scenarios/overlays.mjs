// Overlays for OBS: transparent, without controls, without signing in, alive.
import { assert } from "../world.mjs";

export default async function (world) {
  const [ada, grace] = [await world.streamer("Ada"), await world.streamer("Grace")];
  world.publish("A", ada);
  const pages = new Map();
  for (const name of ["queue-list", "timer-page", "now-page"]) {
    const page = await world.visitor({ size: { width: 800, height: 450 } });
    await page.goto(`/${name}`);
    pages.set(name, page);
  }
  await pages.get("now-page").getByText("Ada").first().waitFor({ timeout: 15000 });
  world.publish("B", grace);
  await pages.get("queue-list").getByText("Grace").first().waitFor({ timeout: 15000 });
  await pages.get("now-page").getByText("Grace").first().waitFor();
  await pages.get("timer-page").locator("time").first().waitFor();
  for (const [name, page] of pages) {
    const background = await page.evaluate(() =>
      [document.documentElement, document.body].map((element) => getComputedStyle(element).backgroundColor),
    );
    assert.deepEqual(background, ["rgba(0, 0, 0, 0)", "rgba(0, 0, 0, 0)"], `${name} is transparent`);
    assert.equal(await page.locator("a, button, input, form").count(), 0, `${name} has no controls`);
    await page.screenshot({ path: `${world.artefacts}/overlay-${name}.png` });
    await world.accessible(page, name);
  }
  // A theme by the address.
  const themed = await world.visitor({ size: { width: 800, height: 450 } });
  await themed.goto("/now-page?color=ff0000&size=64");
  await themed.screenshot({ path: `${world.artefacts}/overlay-themed.png` });
}

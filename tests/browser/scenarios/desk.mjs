// Every page of the admin's desk is sound; a destination is added, tried, edited and deleted; what is set is on pages that are open.
import { assert, DESK, until } from "../world.mjs";

export default async function (world) {
  await world.crew("Olga", "admin");
  await world.streamer("Ada");
  const page = await world.visitor({ size: DESK });
  await world.signIn(page, "Olga");
  await page.goto("/admin");
  const tabs = await page.getByRole("navigation", { name: "For the crew" }).getByRole("link").evaluateAll((links) => links.map((link) => link.getAttribute("href")));
  assert.ok(tabs.length > 3, `the desk has pages: ${tabs}`);
  for (const path of tabs) {
    await page.goto(path);
    await world.examine(page, `desk${path.replaceAll("/", "-")}`);
  }
  const destinations = () => world.call("GET", "/api/v1/destinations");
  await page.goto("/admin/destinations");
  await page.getByRole("link", { name: "Add one" }).click();
  await world.examine(page, "desk-platforms");
  await page.getByRole("link", { name: /Custom|Another|own/i }).click();
  await page.getByLabel("Name").fill("The hall's recorder");
  await page.getByLabel("Server").fill("somewhere");
  await page.getByLabel("Stream key").fill("hush-hush-key");
  world.expect(/422 \(Unprocessable/);
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await page.getByRole("alert").first().waitFor();
  await world.examine(page, "desk-destination-wrong");
  await page.getByLabel("Server").fill(process.env.PLATFORM);
  await page.getByLabel("Stream key").fill("hush-hush-key");
  await page.getByRole("button", { name: "Add", exact: true }).click();
  await page.getByText("The hall's recorder").first().waitFor();
  const [made] = await until("the destination", async () => (await destinations()).length === 1 && destinations());
  assert.equal(await page.getByText("hush-hush-key").count(), 0);
  await page.goto(`/admin/destinations/${made.id}`);
  assert.equal(await page.getByLabel("Stream key").inputValue(), "", "the key is never shown again");
  await page.getByLabel("Name").fill("The archive");
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByText("The archive").first().waitFor();
  assert.equal((await destinations())[0].name, "The archive");
  await page.goto("/admin/destinations");
  await world.examine(page, "desk-destinations-one");
  // Tried without a show: the platform's own answer is told.
  await page.getByRole("button", { name: "Test The archive" }).click();
  await page.locator("#toasts").getByText("The archive").waitFor({ timeout: 15000 });
  await page.getByRole("link", { name: "Delete The archive" }).click();
  await world.accessible(page, "the question before deleting");
  await page.getByRole("dialog").getByRole("button", { name: /Delete/ }).click();
  await until("the destination to be gone", async () => (await destinations()).length === 0);

  const room = await world.visitor({ size: DESK });
  await room.goto("/");
  const set = (venue, registration) => world.call("PATCH", "/api/v1/settings", { "venue.name": venue, "accounts.registration": registration });
  const join = [room.getByRole("link", { name: "Join" }), room.getByRole("link", { name: "Register" }).first(), room.locator(".join-qr")];
  const crew = room.getByText("Ask the crew for an account.");
  await join[0].waitFor();
  assert.equal(await crew.isVisible(), false);
  await set("Zum <b>Anker</b>", "closed");
  await room.getByRole("link", { name: "Zum <b>Anker</b>" }).waitFor();
  await crew.waitFor();
  for (const way of join) await way.waitFor({ state: "hidden" });
  assert.equal(await room.title(), "On air · Zum <b>Anker</b>");
  await set("Blue Room", "open");
  await room.getByRole("link", { name: "Blue Room" }).waitFor();
  for (const way of join) await way.waitFor();
  await crew.waitFor({ state: "hidden" });
  assert.equal(await room.title(), "On air · Blue Room");
}

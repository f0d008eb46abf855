// The steps that set a box up, from the first page of a phone to the last, without a script: each is a plain form, fits the smallest screen, can
// be left and taken up again, and is judged by axe in both themes.
import { assert, DESK, env, PHONE, SMALL } from "../world.mjs";

const SIZES = [SMALL, PHONE, DESK];

export default async function (world) {
  // axe is a script of ours: where the page may run none, a second visitor with scripts judges the same pages.
  const page = await world.visitor({ size: SMALL, script: false });
  world.expect(/422 \(Unprocessable/);
  const at = (path) => assert.equal(new URL(page.url()).pathname, path);
  const go = (name) => page.getByRole("button", { name, exact: true }).click();

  await page.goto("/");
  at("/setup");
  await page.getByText("1 of 6").waitFor();
  await page.getByLabel("Setup code").fill(env("SETUP_CODE"));
  await page.getByLabel("Your name").fill("Olga");
  await page.getByLabel("Password", { exact: true }).fill("Olga-password");
  await go("Claim this box");

  await page.getByText("2 of 6").waitFor();
  at("/setup/venue");
  await page.getByLabel("Its name").fill("Zum Anker");
  await page.getByLabel("Time zone").fill("Mars");
  await page.getByLabel("Country").selectOption({ label: "Germany" });
  await go("Go on");
  await page.getByText(/not a time zone/).waitFor();
  // What was typed is still there.
  assert.equal(await page.getByLabel("Its name").inputValue(), "Zum Anker");
  assert.equal(await page.getByLabel("Country").inputValue(), "DE");
  await page.getByLabel("Time zone").fill("berlin");
  await go("Go on");

  // This machine's network is its own.
  await page.getByText("3 of 6").waitFor();
  at("/setup/network");
  await page.getByText("nothing has to be set here").waitFor();
  // Left, and taken up again where it was.
  await page.goto("/setup");
  at("/setup/destination");
  await page.getByRole("link", { name: "Back" }).click();
  at("/setup/network");
  await page.getByRole("link", { name: "Go on" }).click();

  await page.getByText("4 of 6").waitFor();
  await page.getByRole("link", { name: "Another server" }).click();
  await page.getByLabel("Name", { exact: true }).fill("Here");
  await page.getByLabel("Server").fill("nonsense");
  await page.getByLabel("Stream key").fill("a-key");
  await go("Add it");
  await page.locator("#url-wrong").waitFor();
  assert.equal(await page.getByLabel("Stream key").inputValue(), "");
  await page.getByLabel("Server").fill(env("PLATFORM"));
  await page.getByLabel("Stream key").fill("a-key");
  await go("Add it");
  await page.getByText("Here is there").waitFor();
  await page.getByRole("button", { name: "Test" }).click();
  await page.getByText(/^Here: /).waitFor();
  await page.getByRole("link", { name: "Go on" }).click();

  await page.getByText("5 of 6").waitFor();
  at("/setup/streamers");
  await page.getByLabel("Who may join").selectOption("approval");
  await go("Go on");
  await page.getByText("6 of 6").waitFor();
  at("/setup/done");
  await page.getByText("Zum Anker is set up").waitFor();
  await page.getByRole("link", { name: "To the night" }).click();
  at("/admin");

  const judge = await world.visitor({ size: PHONE });
  await world.signIn(judge, "Olga");
  for (const step of ["venue", "network", "destination", "destination?platform=twitch", "streamers", "poster", "done"]) {
    await judge.goto(`/setup/${step}`);
    await world.examine(judge, `setup-${step.replace(/\W+/g, "-")}`, { sizes: SIZES });
  }
  await judge.goto("/admin/network");
  await world.examine(judge, "network", { sizes: SIZES });
}

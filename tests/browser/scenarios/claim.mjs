// A box without an owner: every page leads to /setup, nothing else answers, and whoever has the code claims it.
import { assert, PHONE } from "../world.mjs";

export default async function (world) {
  const page = await world.visitor({ size: PHONE });
  world.expect(/422 \(Unprocessable/);
  for (const path of ["/", "/register", "/login", "/me", "/admin", "/queue-list"]) {
    await page.goto(path);
    assert.equal(new URL(page.url()).pathname, "/setup", `${path} leads to /setup`);
  }
  await world.examine(page, "setup");
  const fill = async (code) => {
    await page.getByLabel("Setup code").fill(code);
    await page.getByLabel("Your name").fill("Olga");
    await page.getByLabel("Password", { exact: true }).fill("Olga-password");
    await page.getByRole("button", { name: "Claim this box" }).click();
  };
  await fill("not-the-code");
  await page.getByRole("alert").filter({ hasText: /code/i }).first().waitFor();
  // What was typed is still there, but the password.
  assert.equal(await page.getByLabel("Your name").inputValue(), "Olga");
  assert.equal(await page.getByLabel("Password", { exact: true }).inputValue(), "");
  await world.examine(page, "setup-wrong-code");
  await fill(process.env.SETUP_CODE);
  await page.getByText("The box is yours, Olga").waitFor();
  // Claimed once and for all: whoever comes back goes on with the next step.
  for (const path of ["/setup/venue", "/setup"]) {
    await page.goto(path);
    assert.equal(new URL(page.url()).pathname, "/setup/venue");
  }
  const other = await world.visitor();
  await other.goto("/");
  assert.equal(new URL(other.url()).pathname, "/");
  await other.goto("/setup");
  assert.equal(new URL(other.url()).pathname, "/login", "somebody else signs in first");
  await world.signIn(other, "Olga");
}

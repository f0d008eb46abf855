// A browser without JavaScript: register, sign in and out, one's place, leaving.
import { assert, PHONE, until } from "../world.mjs";

export default async function (world) {
  const page = await world.visitor({ size: PHONE, script: false });
  await page.goto("/register");
  await page.getByLabel("Your name").fill("Ada");
  await page.getByLabel("Password", { exact: true }).fill("Ada-password");
  await page.getByRole("button", { name: "Join", exact: true }).click();
  await page.getByText("Welcome, Ada").waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByText("You are signed out").waitFor();
  await world.signIn(page, "Ada");
  await page.getByText("Show the key").click();
  const key = (await page.locator("#key").textContent()).trim();
  world.publish("A", key);
  await until("Ada to be on air", async () => (await world.onAir()) === "Ada", 15000);
  await page.reload();
  await page.getByRole("region", { name: "Your place" }).getByText("On air").waitFor();
  await page.goto("/");
  await page.getByRole("heading", { name: "Ada" }).waitFor();
  const left = await page.getByRole("timer").textContent();
  assert.match(left, /\d+:\d\d/, "time left is in the page itself");
  await page.screenshot({ path: `${world.artefacts}/plain-room.png`, fullPage: true });
  await page.goto("/me");
  await page.getByRole("button", { name: "End my turn" }).click();
  await page.getByText("You left the queue. To come back").waitFor();
  // The theme is chosen, kept, and the page stays where it was.
  await page.getByRole("button", { name: "Light theme" }).click();
  assert.equal(new URL(page.url()).pathname, "/me");
  assert.equal(await page.locator("html").getAttribute("data-theme"), "light");
}

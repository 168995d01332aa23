// A page as somebody uses it who has no mouse.
import { expect } from '@playwright/test';

/** Whatever has the focus shows it. */
export const expectVisibleFocus = (page) => expect(page.locator(':focus')).not.toHaveCSS('outline-style', 'none');

/** Presses Tab until the target has the focus; on the way each stop shows that it has it. */
export async function tabTo(page, target) {
  for (let presses = 0; presses < 40; presses += 1) {
    await page.keyboard.press('Tab');
    await expectVisibleFocus(page);
    if (await target.evaluate((element) => element === document.activeElement)) return;
  }
  await expect(target).toBeFocused();
}

//! The page in a browser, as a person uses it.

import assert from 'node:assert/strict'
import { createRequire } from 'node:module'
import { join } from 'node:path'
import { inspect, isDeepStrictEqual } from 'node:util'

import { Child } from '../../../tests/interop/harness/child.js'
import { eventually } from '../../../tests/interop/harness/wait.js'

const work = process.env.WEB_TODO_WORK
const app = join(work, 'app')
const require = createRequire(join(app, 'package.json'))
const { chromium } = require('playwright-core')

/** What a browser says of a server that is down; anything else on the console is a failure. */
const IS_EXPECTED = /WebSocket connection to .* failed/

/** Builds the page for a server and serves it; resolves with its address. */
export async function servePage(t, server) {
  const env = { ...process.env, VITE_SYNC_URL: server.url('ws'), NO_COLOR: '1' }
  const build = new Child(t, 'npm run build', 'npm', ['run', 'build'], { cwd: app, env })
  const { code } = await build.exited()
  assert.equal(code, 0, build.output)
  const vite = join(app, 'node_modules/vite/bin/vite.js')
  const preview = new Child(t, 'vite preview', process.execPath, [vite, 'preview', '--host', '127.0.0.1', '--port', '0'], {
    cwd: app,
    env,
  })
  const [url] = await preview.says(/http:\/\/127\.0\.0\.1:\d+/)
  return url
}

export async function startBrowser(t) {
  const browser = await chromium.launch({ executablePath: process.env.CHROMIUM })
  t.after(() => browser.close())
  return browser
}

/** A browser profile: what it stores is its own, as on a device of its own. */
export async function newProfile(t, browser) {
  const profile = await browser.newContext({ viewport: { width: 640, height: 400 } })
  t.after(() => profile.close())
  return profile
}

export class TodoPage {
  #page
  #problems = []

  /** Opens the list `storeId` in a tab, and waits until it is shown. */
  static async open(t, profile, url, storeId) {
    const page = new TodoPage(t, await profile.newPage())
    await page.#page.goto(`${url}/?store=${storeId}`)
    await page.says(/^(Connected|Offline)/)
    return page
  }

  constructor(t, page) {
    this.#page = page
    page.on('pageerror', (error) => this.#problems.push(error.stack))
    page.on('console', (message) => {
      if (message.type() === 'error' && !IS_EXPECTED.test(message.text())) this.#problems.push(message.text())
    })
    t.after(() => assert.deepEqual(this.#problems, [], 'no errors in the page'))
  }

  async add(text) {
    await this.#page.getByRole('textbox', { name: 'What is to be done?' }).fill(text)
    await this.#page.getByRole('button', { name: 'Add' }).click()
  }

  async done(text) {
    await this.#page.getByRole('checkbox', { name: `Done: ${text}` }).check()
  }

  async edit(text, newText) {
    const input = this.#page.getByRole('textbox', { name: `Text: ${text}` })
    await input.fill(newText)
    await input.press('Enter')
  }

  async remove(text) {
    await this.#page.getByRole('button', { name: `Remove: ${text}` }).click()
  }

  /** What a person sees: a line per item, with `[x]` where it is done. */
  items() {
    return this.#page.locator('#items > li').evaluateAll((rows) =>
      rows.map((row) => {
        const [done, text] = row.querySelectorAll('input')
        return `[${done.checked ? 'x' : ' '}] ${text.value}`
      }),
    )
  }

  status() {
    return this.#page.getByRole('status').textContent()
  }

  /** Waits until the status line matches `pattern`. */
  says(pattern) {
    return becomes(pattern, () => this.status(), (status) => pattern.test(status))
  }

  /** Waits until exactly these items are shown. */
  shows(expected) {
    return becomes(expected, () => this.items(), (items) => isDeepStrictEqual(items, expected))
  }

  /** Keeps a picture of it. */
  async screenshot(name) {
    await this.#page.screenshot({ path: join(work, 'screenshots', `${name}.png`) })
  }

  /** Resolves when the page has reloaded itself. */
  async reloads() {
    await this.#page.waitForEvent('load', { timeout: 60_000 })
  }

  async reload() {
    await this.#page.reload()
    await this.says(/^(Connected|Offline)/)
  }

  /** Closes the tab. */
  async close() {
    await this.#page.close()
  }
}

/** Waits until what `look` sees is as expected. If it never is, the error has what was seen at last. */
async function becomes(expected, look, isExpected) {
  let seen
  try {
    await eventually(`the page showed ${inspect(expected)}`, async () => isExpected((seen = await look())))
  } catch (error) {
    throw new Error(`${error.message}; it shows ${inspect(seen)}`, { cause: error })
  }
}

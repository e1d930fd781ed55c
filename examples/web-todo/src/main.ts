// The page: shows the list, and commits what the user does to it.

import { queryDb } from '@livestore/livestore'

import { events, newId, tables, type Todo } from './schema.ts'
import { ended, openStore, type SyncStatus, watchSync } from './store.ts'

const status = document.querySelector<HTMLElement>('#status')!
const form = document.querySelector<HTMLFormElement>('#new-item')!
const list = document.querySelector<HTMLUListElement>('#items')!
const empty = document.querySelector<HTMLElement>('#empty')!
const template = document.querySelector<HTMLTemplateElement>('#item')!

const store = await openStore().catch((reason) => {
  showFailure(reason)
  throw reason
})

form.addEventListener('submit', (event) => {
  event.preventDefault()
  const text = String(new FormData(form).get('text')).trim()
  if (text === '') return
  store.commit(events.todoAdded({ id: newId(), text }))
  form.reset()
})

/** A line of the list, which stays the same element whatever happens to the item: the focus in it is not lost. */
class Row {
  readonly element = (template.content.cloneNode(true) as DocumentFragment).querySelector('li')!
  readonly #done = this.element.querySelector<HTMLInputElement>('[type=checkbox]')!
  readonly #text = this.element.querySelector<HTMLInputElement>('[type=text]')!
  readonly #remove = this.element.querySelector('button')!
  #todo!: Todo

  constructor() {
    this.#done.addEventListener('change', () => store.commit(events.todoDone({ id: this.#todo.id })))
    this.#remove.addEventListener('click', () => store.commit(events.todoRemoved({ id: this.#todo.id })))
    this.#text.addEventListener('change', () => this.#edit(this.#text.value.trim()))
    this.#text.addEventListener('blur', () => this.show(this.#todo))
    this.#text.addEventListener('keydown', ({ key }) => {
      if (key === 'Escape') this.#text.value = this.#todo.text
      if (key === 'Escape' || key === 'Enter') this.#text.blur()
    })
  }

  #edit(text: string) {
    const { id } = this.#todo
    if (text !== '' && text !== this.#todo.text) store.commit(events.todoTextEdited({ id, text }))
  }

  show(todo: Todo) {
    this.#todo = todo
    this.element.classList.toggle('done', todo.isDone)
    this.#done.checked = this.#done.disabled = todo.isDone
    // What the user is typing is not taken away by an edit of somebody else; the last one to finish wins.
    if (document.activeElement !== this.#text) this.#text.value = todo.text
    this.#done.ariaLabel = `Done: ${todo.text}`
    this.#text.ariaLabel = `Text: ${todo.text}`
    this.#remove.ariaLabel = `Remove: ${todo.text}`
  }
}

const rows = new Map<string, Row>()

function showTodos(todos: readonly Todo[]) {
  const ids = new Set(todos.map(({ id }) => id))
  for (const [id, row] of rows) {
    if (ids.has(id)) continue
    row.element.remove()
    rows.delete(id)
  }
  todos.forEach((todo, index) => {
    const row = rows.get(todo.id) ?? new Row()
    rows.set(todo.id, row)
    row.show(todo)
    if (list.children[index] !== row.element) list.insertBefore(row.element, list.children[index] ?? null)
  })
  empty.hidden = todos.length > 0
}

function showStatus({ isConnected, unsaved, unsent }: SyncStatus) {
  const changes = unsent === 1 ? '1 change' : `${unsent} changes`
  status.className = isConnected ? 'connected' : 'offline'
  if (unsaved > 0) status.textContent = 'Saving…'
  else if (isConnected) status.textContent = unsent === 0 ? 'Connected · in sync' : `Connected · sending ${changes}`
  else status.textContent = unsent === 0 ? 'Offline · nothing to send' : `Offline · ${changes} to send`
}

function showFailure(reason: unknown) {
  console.error(reason)
  status.className = 'failed'
  status.textContent = 'Stopped · reload the page'
}

store.subscribe(queryDb(tables.todos.orderBy('position', 'asc')), showTodos)
watchSync(store, showStatus).catch(showFailure)
// A server with other data ends the store, and so does another tab that resets it: what is there now needs a new store.
ended.then((exit) => (exit._tag === 'Success' ? location.reload() : showFailure(exit.cause)))

// What can happen to the list, and what it does to the tables. examples/todo has the same in Rust (events.rs, schema.rs).

import { Events, makeSchema, Schema, State } from '@livestore/livestore'

export const tables = {
  todos: State.SQLite.table({
    name: 'todos',
    columns: {
      id: State.SQLite.text({ primaryKey: true }),
      position: State.SQLite.integer(),
      text: State.SQLite.text(),
      isDone: State.SQLite.boolean({ default: false }),
    },
  }),
}

// Events stay in the logs of all clients for ever. So one that was released never changes its meaning.
export const events = {
  todoAdded: Events.synced({
    name: 'v1.TodoAdded',
    schema: Schema.Struct({ id: Schema.String, text: Schema.String }),
  }),
  todoTextEdited: Events.synced({
    name: 'v1.TodoTextEdited',
    schema: Schema.Struct({ id: Schema.String, text: Schema.String }),
  }),
  todoDone: Events.synced({
    name: 'v1.TodoDone',
    schema: Schema.Struct({ id: Schema.String }),
  }),
  todoRemoved: Events.synced({
    name: 'v1.TodoRemoved',
    schema: Schema.Struct({ id: Schema.String }),
  }),
}

const materializers = State.SQLite.materializers(events, {
  // The order of the events orders the list, the same on every client. A clock would not. The position is found in SQL: a
  // materializer that passes the event's number on does something else after a rebase, and in development LiveStore 0.4
  // shuts a store down for that.
  'v1.TodoAdded': ({ id, text }) => ({
    sql: `INSERT OR IGNORE INTO todos (id, position, text, isDone)
          VALUES ($id, (SELECT coalesce(max(position), 0) + 1 FROM todos), $text, 0)`,
    bindValues: { id, text },
    writeTables: new Set(['todos']),
  }),
  'v1.TodoTextEdited': ({ id, text }) => tables.todos.update({ text }).where({ id }),
  'v1.TodoDone': ({ id }) => tables.todos.update({ isDone: true }).where({ id }),
  'v1.TodoRemoved': ({ id }) => tables.todos.delete().where({ id }),
})

export const schema = makeSchema({ events, state: State.SQLite.makeState({ tables, materializers }) })

export type Todo = typeof tables.todos.Type

/** The id of a new item: 60 random bits, in characters that are easy to type on a command line. */
export function newId(): string {
  const alphabet = '23456789abcdefghijkmnpqrstuvwxyz'
  return Array.from(crypto.getRandomValues(new Uint8Array(12)), (byte) => alphabet[byte % 32]).join('')
}

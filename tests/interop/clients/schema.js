//! The to-do list of `examples/todo`, for LiveStore: the same events, and the same table made from them.
//! `examples/web-todo/src/schema.ts` has the same events for a page; its positions come from SQL, see README.

import { Events, makeSchema, Schema, State } from '@livestore/livestore'

const text = { id: Schema.String, text: Schema.String }
const id = { id: Schema.String }

export const events = {
  TodoAdded: Events.synced({ name: 'v1.TodoAdded', schema: Schema.Struct(text) }),
  TodoTextEdited: Events.synced({ name: 'v1.TodoTextEdited', schema: Schema.Struct(text) }),
  TodoDone: Events.synced({ name: 'v1.TodoDone', schema: Schema.Struct(id) }),
  TodoRemoved: Events.synced({ name: 'v1.TodoRemoved', schema: Schema.Struct(id) }),
  // Which item is selected is nobody's business but the client's: no other client hears of it.
  TodoSelected: Events.clientOnly({ name: 'v1.TodoSelected', schema: Schema.Struct(id) }),
}

const tables = {
  todos: State.SQLite.table({
    name: 'todos',
    columns: {
      id: State.SQLite.text({ primaryKey: true }),
      position: State.SQLite.integer(),
      text: State.SQLite.text(),
      is_done: State.SQLite.integer({ default: 0 }),
    },
  }),
  selections: State.SQLite.table({
    name: 'selections',
    columns: { id: State.SQLite.text({ primaryKey: true }) },
  }),
}

const materializers = State.SQLite.materializers(events, {
  'v1.TodoAdded': ({ id, text }, { event }) =>
    tables.todos.insert({ id, text, position: event.seqNum.global, is_done: 0 }),
  'v1.TodoTextEdited': ({ id, text }) => tables.todos.update({ text }).where({ id }),
  'v1.TodoDone': ({ id }) => tables.todos.update({ is_done: 1 }).where({ id }),
  'v1.TodoRemoved': ({ id }) => tables.todos.delete().where({ id }),
  'v1.TodoSelected': ({ id }) => tables.selections.insert({ id }).onConflict('id', 'ignore'),
})

export const schema = makeSchema({ events, state: State.SQLite.makeState({ tables, materializers }) })

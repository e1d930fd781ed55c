//! Lets the files of this directory import npm packages that are kept outside the repository.

import { isBuiltin, registerHooks } from 'node:module'
import { pathToFileURL } from 'node:url'

const here = new URL('../', import.meta.url).href
const packages = pathToFileURL(`${process.env.LIVESTORE_PACKAGES}/package.json`).href

registerHooks({
  resolve(specifier, context, next) {
    const isPackage = !/^[./]|^[a-z]+:/.test(specifier) && !isBuiltin(specifier)
    const isOurs = context.parentURL?.startsWith(here)
    return next(specifier, isPackage && isOurs ? { ...context, parentURL: packages } : context)
  },
})

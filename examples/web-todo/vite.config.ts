import { defineConfig } from 'vite'

export default defineConfig({
  // LiveStore's worker is made of several modules.
  worker: { format: 'es' },
  // main.ts awaits the store at its top level.
  build: { target: 'es2022' },
  // It finds its .wasm file beside itself, so the dev server must not bundle it.
  optimizeDeps: { exclude: ['@livestore/wa-sqlite'] },
})

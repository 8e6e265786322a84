import js from '@eslint/js'
import neverthrow from '@okee-tech/eslint-plugin-neverthrow'
import { defineConfig } from 'eslint/config'
import tseslint from 'typescript-eslint'

export default defineConfig(
  js.configs.recommended,
  tseslint.configs.recommendedTypeChecked,
  {
    languageOptions: { parserOptions: { projectService: true, tsconfigRootDir: import.meta.dirname } },
    plugins: { neverthrow },
    rules: {
      // A job that is neither awaited nor kept: nobody would see it fail.
      '@typescript-eslint/no-floating-promises': ['error', { checkThenables: true }],
      // A Result whose error nobody looks at.
      'neverthrow/must-consume-result': 'error',
      // Off, since an `async` function would give the Result of the job that it returns.
      '@typescript-eslint/promise-function-async': 'off',
    },
  },
  {
    files: ['**/*.js'],
    extends: [tseslint.configs.disableTypeChecked],
    rules: { 'neverthrow/must-consume-result': 'off' },
  },
)

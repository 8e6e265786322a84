import { expect, test } from 'vitest'
import { tableIn } from '../../support/readme-part.js'
import { errorTable, errorTablePart } from './error-table.js'

test("the table of the SDK's errors in FROM-PRLSDKAPI.md says what the driver makes of them", async () => {
  const expected = errorTable().map((line) => line.map((cell) => cell.replaceAll('`', '')))
  expect(tableIn((await errorTablePart.read()) ?? '')).toEqual(expected)
})

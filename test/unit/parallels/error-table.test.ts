import { expect, test } from 'vitest'
import { tableIn } from '../../support/readme-part.js'
import { errorTable, errorTablePart } from './error-table.js'

test("FROM-PRLSDKAPI.md lists the error codes for the SDK's errors as the driver maps them", async () => {
  const expected = errorTable().map((line) => line.map((cell) => cell.replaceAll('`', '')))
  expect(tableIn((await errorTablePart.read()) ?? '')).toEqual(expected)
})

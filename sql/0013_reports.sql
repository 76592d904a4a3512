/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes say what they find out about themselves: functions/reports.sql. */
COMMENT ON COLUMN posthouse.nodes.report IS 'Array of objects with the members check, status, detail, remedy';

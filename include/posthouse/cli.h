/* SPDX-License-Identifier: Apache-2.0 */
/* The command line: commands, their flags and their help; what each does stands in src/cli/cmd_*.c. */
#ifndef POSTHOUSE_CLI_H
#define POSTHOUSE_CLI_H

/* Exit status: 0 done, 1 refused or failed (one line on standard error: what, and what to do), 2 bad
 * usage. */
int ph_cli_main(int argc, char **argv);

#endif

/* SPDX-License-Identifier: Apache-2.0 */
#include "posthouse/cli.h"

int main(int argc, char **argv)
{
	return ph_cli_main(argc, argv);
}

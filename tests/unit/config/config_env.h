/* SPDX-License-Identifier: Apache-2.0 */
/* An environment without anything that would configure posthouse, for the tests of this folder. */
#ifndef CONFIG_ENV_H
#define CONFIG_ENV_H

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int clean_environment(void **state)
{
	char name[256];

	(void)state;
	for (char **e = environ; *e;) {
		size_t n = strcspn(*e, "=");

		if ((strncmp(*e, "POSTHOUSE_", 10) != 0 && strncmp(*e, "PG", 2) != 0 &&
			    strncmp(*e, "DATABASE_URL", 12) != 0) ||
			n >= sizeof(name)) {
			e++;
			continue;
		}
		memcpy(name, *e, n);
		name[n] = '\0';
		unsetenv(name);
		e = environ;
	}
	return 0;
}

#endif

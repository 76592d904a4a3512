/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a fuzz target over every file of the directories that are named: the seeds, and what was found before.
 */
#include "fuzz.h"

#include <dirent.h>

static void run_file(const char *path)
{
	FILE *f = fopen(path, "rb");
	struct ph_buf b;
	char block[4096];
	size_t n;

	REQUIRE(f != NULL);
	ph_buf_init(&b, (size_t)64 << 20);
	while ((n = fread(block, 1, sizeof(block), f)) > 0)
		ph_buf_append(&b, block, n);
	REQUIRE(!ferror(f) && !b.failed);
	fclose(f);
	LLVMFuzzerTestOneInput((const uint8_t *)(b.p ? b.p : ""), b.n);
	ph_buf_deinit(&b);
}

static size_t run_directory(const char *name)
{
	DIR *d = opendir(name);
	struct dirent *e;
	char path[4096];
	size_t count = 0;

	REQUIRE(d != NULL);
	while ((e = readdir(d)) != NULL) {
		if (e->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/%s", name, e->d_name);
		run_file(path);
		count++;
	}
	closedir(d);
	return count;
}

int main(int argc, char **argv)
{
	size_t count = 0;

	for (int i = 1; i < argc; i++)
		count += run_directory(argv[i]);
	printf("%zu inputs\n", count);
	return count > 0 ? 0 : 1;
}

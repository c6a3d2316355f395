/* Runs a fuzz target on the files named, where there is no libFuzzer: with any compiler, on any system. */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int main(int count, char **paths)
{
    enum { LARGEST = 1 << 24 };
    uint8_t *data = malloc(LARGEST);
    if (data == NULL) return 2;
    for (int i = 1; i < count; i++) {
        FILE *file = fopen(paths[i], "rb");
        if (file == NULL) {
            fprintf(stderr, "%s: cannot be opened\n", paths[i]);
            free(data);
            return 2;
        }
        LLVMFuzzerTestOneInput(data, fread(data, 1, LARGEST, file));
        fclose(file);
    }
    free(data);
    printf("%d files, nothing found\n", count - 1);
    return 0;
}

/* A plugin for qemu's user emulation: how often each straight run of instructions was executed. At exit it writes one
   line for each: address, instructions, executions. The declarations are those of qemu's plugin interface, version 1,
   that are used here; the header itself is not in Debian. */
#include <inttypes.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

typedef uint64_t qemu_plugin_id_t;
struct qemu_plugin_tb;
enum { QEMU_PLUGIN_INLINE_ADD_U64 = 0 };
size_t qemu_plugin_tb_n_insns(const struct qemu_plugin_tb *tb);
uint64_t qemu_plugin_tb_vaddr(const struct qemu_plugin_tb *tb);
void qemu_plugin_register_vcpu_tb_trans_cb(qemu_plugin_id_t id, void (*translated)(qemu_plugin_id_t, struct qemu_plugin_tb *));
void qemu_plugin_register_vcpu_tb_exec_inline(struct qemu_plugin_tb *tb, int operation, void *counter, uint64_t add);
void qemu_plugin_register_atexit_cb(qemu_plugin_id_t id, void (*exits)(qemu_plugin_id_t, void *), void *data);

__attribute__((visibility("default"))) extern int qemu_plugin_version;
int qemu_plugin_version = 1;

typedef struct run {
    struct run *next;
    uint64_t address, executions;
    size_t instructions;
} run;

static run *runs;

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *tb)
{
    (void)id;
    run *r = calloc(1, sizeof *r);
    if (r == NULL) abort();
    *r = (run){runs, qemu_plugin_tb_vaddr(tb), 0, qemu_plugin_tb_n_insns(tb)};
    runs = r;
    qemu_plugin_register_vcpu_tb_exec_inline(tb, QEMU_PLUGIN_INLINE_ADD_U64, &r->executions, 1);
}

static void report(qemu_plugin_id_t id, void *path)
{
    (void)id;
    FILE *file = fopen(path, "w");
    if (file == NULL) abort();
    for (run *r = runs; r != NULL; r = r->next)
        fprintf(file, "%" PRIx64 " %zu %" PRIu64 "\n", r->address, r->instructions, r->executions);
    fclose(file);
}

__attribute__((visibility("default")))
int qemu_plugin_install(qemu_plugin_id_t id, const void *info, int count, char **arguments)
{
    (void)info;
    if (count != 1) return -1; /* out=FILE */
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    qemu_plugin_register_atexit_cb(id, report, arguments[0] + 4);
    return 0;
}

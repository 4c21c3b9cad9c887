/* See executor.h. */
#include "net/executor.h"

#include "base/assert.h"
#include "net/loop.h"

#include <uv.h>

_Static_assert(sizeof(uv_work_t) <= sizeof(((struct bpi_work *)NULL)->reserved),
               "a uv_work_t must fit into bpi_work");
_Static_assert(_Alignof(uv_work_t) <= _Alignof(void *), "reserved[] is aligned for pointers only");

static void run(uv_work_t *request)
{
    struct bpi_work *work = request->data;
    work->run(work);
}

static void after_run(uv_work_t *request, int status)
{
    struct bpi_work *work = request->data;
    /* Only uv_cancel() makes another status, and nobody cancels. */
    BP_ASSERT(status == 0);
    work->on_done(work);
}

static int submit(const struct bpi_executor *executor, struct bpi_loop *loop, struct bpi_work *work)
{
    (void)executor;
    bpi_assert_on_loop(loop);
    uv_work_t *request = (uv_work_t *)(void *)work->reserved;
    request->data = work;
    return uv_queue_work(bpi_loop_uv(loop), request, run, after_run);
}

const struct bpi_executor bpi_executor_uv = {.submit = submit};

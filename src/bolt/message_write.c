/* The writers of message.h. Each begins a frame in place, appends, and checks once at its end; what
 * went wrong on the way is taken back as a whole.
 */
#include "bolt/message.h"

#include "bolt/chunk.h"

#include <boltpool/error.h>

#include <string.h>

/* A message that is being written into `pack.buffer`. */
struct frame {
    struct bpi_pack_writer pack;
    size_t mark;
};

static void frame_begin(struct frame *frame, struct bpi_buffer *out, uint8_t tag, size_t fields)
{
    bpi_pack_writer_init(&frame->pack, out);
    frame->mark = bpi_buffer_size(out); /* where an abort goes back to, also if begin fails */
    frame->pack.status = bpi_chunk_begin(out, &frame->mark);
    bpi_pack_struct(&frame->pack, tag, fields);
}

static int frame_end(struct frame *frame)
{
    int error = frame->pack.status;
    if (error == 0) {
        error = bpi_chunk_end(frame->pack.buffer, frame->mark);
    }
    if (error != 0) {
        bpi_chunk_abort(frame->pack.buffer, frame->mark);
    }
    return error;
}

/* An encoded map, or the empty one. */
static void frame_map(struct frame *frame, struct bpi_bolt_span map)
{
    if (map.data == NULL) {
        bpi_pack_map(&frame->pack, 0);
    } else {
        bpi_pack_raw(&frame->pack, map.data, map.size);
    }
}

static void frame_text_pair(struct frame *frame, const char *key, const char *value)
{
    bpi_pack_text(&frame->pack, key);
    bpi_pack_text(&frame->pack, value);
}

int bpi_bolt_write_simple(struct bpi_buffer *out, uint8_t tag)
{
    struct frame frame;
    frame_begin(&frame, out, tag, 0);
    return frame_end(&frame);
}

int bpi_bolt_write_map(struct bpi_buffer *out, uint8_t tag, struct bpi_bolt_span extra)
{
    struct frame frame;
    frame_begin(&frame, out, tag, 1);
    frame_map(&frame, extra);
    return frame_end(&frame);
}

int bpi_bolt_write_run(struct bpi_buffer *out,
                       struct bpi_bolt_text query,
                       struct bpi_bolt_span parameters,
                       struct bpi_bolt_span extra)
{
    struct frame frame;
    frame_begin(&frame, out, BPI_BOLT_RUN, 3);
    bpi_pack_string(&frame.pack, query.data, query.size);
    frame_map(&frame, parameters);
    frame_map(&frame, extra);
    return frame_end(&frame);
}

int bpi_bolt_write_fetch(struct bpi_buffer *out, uint8_t tag, int64_t n, int64_t qid)
{
    struct frame frame;
    frame_begin(&frame, out, tag, 1);
    bpi_pack_map(&frame.pack, qid == -1 ? 1 : 2);
    bpi_pack_text(&frame.pack, "n");
    bpi_pack_int(&frame.pack, n);
    if (qid != -1) {
        bpi_pack_text(&frame.pack, "qid");
        bpi_pack_int(&frame.pack, qid);
    }
    return frame_end(&frame);
}

int bpi_bolt_write_success(struct bpi_buffer *out, struct bpi_bolt_span meta)
{
    return bpi_bolt_write_map(out, BPI_BOLT_SUCCESS, meta);
}

/* The GQL form of the codes that we answer with ourselves; the last row stands for all others. The
 * description names the condition that the status stands for. */
struct gql_row {
    const char *code;
    const char *status;
    const char *description;
};

static const struct gql_row gql_rows[] = {
    {"Neo.TransientError.Request.NoThreadsAvailable", "51N59",
     "error: system configuration or operation exception - internal resource exhaustion"},
    {"Neo.ClientError.Request.Invalid", "08N06", "error: connection exception - protocol error"},
    {"Neo.ClientError.Request.InvalidFormat", "08N06",
     "error: connection exception - protocol error"},
    {"Neo.ClientError.Security.Unauthorized", "42NFF",
     "error: syntax error or access rule violation - permission/access denied"},
    {NULL, "50N42", "error: general processing exception - unexpected error"},
};

static const struct gql_row *gql_find(const char *code)
{
    const struct gql_row *row = gql_rows;
    while (row->code != NULL && strcmp(row->code, code) != 0) {
        row++;
    }
    return row;
}

static const char *classification_of(const char *code)
{
    if (strncmp(code, "Neo.ClientError.", strlen("Neo.ClientError.")) == 0) {
        return "CLIENT_ERROR";
    }
    if (strncmp(code, "Neo.TransientError.", strlen("Neo.TransientError.")) == 0) {
        return "TRANSIENT_ERROR";
    }
    return "DATABASE_ERROR";
}

int bpi_bolt_write_failure(struct bpi_buffer *out,
                           bpi_bolt_version version,
                           const char *code,
                           const char *message,
                           bool idempotent)
{
    struct frame frame;
    frame_begin(&frame, out, BPI_BOLT_FAILURE, 1);
    if (!bpi_bolt_has_gql_failure(version)) {
        bpi_pack_map(&frame.pack, 2);
        frame_text_pair(&frame, "code", code);
        frame_text_pair(&frame, "message", message);
        return frame_end(&frame);
    }
    const struct gql_row *gql = gql_find(code);
    bpi_pack_map(&frame.pack, idempotent ? 5 : 4);
    frame_text_pair(&frame, "neo4j_code", code);
    frame_text_pair(&frame, "message", message);
    frame_text_pair(&frame, "gql_status", gql->status);
    frame_text_pair(&frame, "description", gql->description);
    if (idempotent) {
        bpi_pack_text(&frame.pack, "diagnostic_record");
        bpi_pack_map(&frame.pack, 2);
        bpi_pack_text(&frame.pack, "_idempotent");
        bpi_pack_bool(&frame.pack, true);
        frame_text_pair(&frame, "_classification", classification_of(code));
    }
    return frame_end(&frame);
}

int bpi_bolt_write_route_success(struct bpi_buffer *out,
                                 const char *address,
                                 int64_t ttl_s,
                                 struct bpi_bolt_text db)
{
    static const char *const roles[] = {"WRITE", "READ", "ROUTE"};
    struct frame frame;
    frame_begin(&frame, out, BPI_BOLT_SUCCESS, 1);
    bpi_pack_map(&frame.pack, 1);
    bpi_pack_text(&frame.pack, "rt");
    bpi_pack_map(&frame.pack, db.data == NULL ? 2 : 3);
    bpi_pack_text(&frame.pack, "servers");
    bpi_pack_list(&frame.pack, 3);
    for (size_t i = 0; i < 3; i++) {
        bpi_pack_map(&frame.pack, 2);
        bpi_pack_text(&frame.pack, "addresses");
        bpi_pack_list(&frame.pack, 1);
        bpi_pack_text(&frame.pack, address);
        frame_text_pair(&frame, "role", roles[i]);
    }
    bpi_pack_text(&frame.pack, "ttl");
    bpi_pack_int(&frame.pack, ttl_s);
    if (db.data != NULL) {
        bpi_pack_text(&frame.pack, "db");
        bpi_pack_string(&frame.pack, db.data, db.size);
    }
    return frame_end(&frame);
}

int bpi_bolt_map_extend(struct bpi_buffer *out,
                        struct bpi_bolt_span extra,
                        size_t count,
                        const char *const *keys,
                        const struct bpi_bolt_span *values)
{
    struct bpi_pack_reader reader;
    bpi_pack_reader_init(&reader, extra.data, extra.size);
    uint32_t pairs = 0;
    if (extra.data != NULL) {
        int error = bpi_pack_next_map(&reader, &pairs);
        if (error != 0) {
            return error;
        }
    }
    size_t start = bpi_buffer_size(out);
    struct bpi_pack_writer pack;
    bpi_pack_writer_init(&pack, out);
    bpi_pack_map(&pack, pairs + count);
    bpi_pack_raw(&pack, reader.at, (size_t)(reader.end - reader.at));
    for (size_t i = 0; i < count; i++) {
        bpi_pack_text(&pack, keys[i]);
        bpi_pack_raw(&pack, values[i].data, values[i].size);
    }
    if (pack.status != 0) {
        out->end = out->begin + start;
    }
    return pack.status;
}

#include "emulator/s3/lane.h"

#include "lib/base/str.h"

/* Mutex and condition are plain ones: none of their calls can fail. */

void lane_init(struct lane *l, struct digests *digests)
{
	*l = (struct lane){ .digests = digests };
	pthread_mutex_init(&l->lock, NULL);
	pthread_cond_init(&l->changed, NULL);
}

/* The piece being filled. While the thread has all of them, that is one of its own. */
static struct lane_piece *current(struct lane *l)
{
	if (l->has_thread) {
		pthread_mutex_lock(&l->lock);
		while (l->filling - l->hashed >= LANE_PIECES)
			pthread_cond_wait(&l->changed, &l->lock);
		pthread_mutex_unlock(&l->lock);
	}
	return &l->pieces[l->filling % LANE_PIECES];
}

char *lane_room(struct lane *l, size_t *ret_size)
{
	struct lane_piece *p = current(l);

	if (!p->data)
		p->data = mh_alloc(LANE_PIECE_BYTES);
	*ret_size = LANE_PIECE_BYTES - p->len;
	return p->data + p->len;
}

bool lane_filled(struct lane *l, size_t n)
{
	struct lane_piece *p = current(l);

	p->len += n;
	return p->len == LANE_PIECE_BYTES;
}

const char *lane_piece(struct lane *l, size_t *ret_len)
{
	struct lane_piece *p = current(l);

	*ret_len = p->len;
	return p->data;
}

/* filling is read under the lock, and passed on under it. */
static void *hash_pieces(void *arg)
{
	struct lane *l = arg;

	pthread_mutex_lock(&l->lock);
	for (;;) {
		struct lane_piece *p = &l->pieces[l->hashed % LANE_PIECES];

		while (l->hashed == l->filling && !l->ending)
			pthread_cond_wait(&l->changed, &l->lock);
		if (l->hashed == l->filling)
			break;
		pthread_mutex_unlock(&l->lock);
		digests_update(l->digests, p->data, p->len);
		p->len = 0;
		pthread_mutex_lock(&l->lock);
		l->hashed++;
		pthread_cond_signal(&l->changed);
	}
	pthread_mutex_unlock(&l->lock);
	return NULL;
}

void lane_pass(struct lane *l)
{
	struct lane_piece *p = current(l);

	/* Without threads to be had, the caller goes on alone. */
	if (!l->has_thread && p->len == LANE_PIECE_BYTES)
		l->has_thread = pthread_create(&l->thread, NULL, hash_pieces, l) == 0;
	if (!l->has_thread) {
		if (p->len > 0)
			digests_update(l->digests, p->data, p->len);
		p->len = 0;
		return;
	}
	pthread_mutex_lock(&l->lock);
	l->filling++;
	pthread_cond_signal(&l->changed);
	pthread_mutex_unlock(&l->lock);
}

void lane_end(struct lane *l)
{
	if (!l->has_thread)
		return;
	pthread_mutex_lock(&l->lock);
	l->ending = true;
	pthread_cond_signal(&l->changed);
	pthread_mutex_unlock(&l->lock);
	pthread_join(l->thread, NULL);
	l->has_thread = false;
}

void lane_done(struct lane *l)
{
	lane_end(l);
	for (size_t i = 0; i < LANE_PIECES; i++)
		free(l->pieces[i].data);
	pthread_cond_destroy(&l->changed);
	pthread_mutex_destroy(&l->lock);
}

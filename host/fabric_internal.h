/* SPDX-License-Identifier: BSD-2-Clause */
/* Between the fabric*.c files: what a registry tells the model. Control thread. */
#ifndef HVLAB_HOST_FABRIC_INTERNAL_H
#define HVLAB_HOST_FABRIC_INTERNAL_H

#include "host/fabric.h"

/**
 * struct fabric_registry - Where knowledge comes from
 * @start:	0 or -errno; answers come later
 * @leave:	the others shall forget this host; nothing more is announced
 * @announce:	what is here has changed: fabric_own()
 */
struct fabric_registry {
	int (*start)(struct fabric *f);
	void (*leave)(struct fabric *f);
	void (*stop)(struct fabric *f);
	void (*announce)(struct fabric *f);
	json_t *(*json)(const struct fabric *f);
};
extern const struct fabric_registry fabric_static, fabric_etcd;

/* ---- fabric.c ---- */

const struct fabric_conf *fabric_conf(const struct fabric *f);
/* The registry's own. */
void **fabric_private(struct fabric *f);
const struct fabric_guest *fabric_own(const struct fabric *f, unsigned int *n);

/* @reason may be NULL; @retry_ms 0: none. */
void fabric_set_state(struct fabric *f, enum fabric_state state, const char *reason,
		      unsigned int retry_ms);
/*
 * A host, by its name; @addr6: zeros: none; @state ALIVE or, of the static registry, ASSUMED.
 * @parts: by network, copied. News that are older than what is known change nothing. 0; -ENOSPC;
 * -ENOMEM; -EEXIST it is this host.
 */
int fabric_host_put(struct fabric *f, const char *name, const uint8_t addr[16],
		    const uint8_t addr6[16], const struct fabric_part *parts,
		    enum fabric_host_state state, uint64_t rev);
void fabric_host_del(struct fabric *f, const char *name, uint64_t rev);
/* @g->host is set from @host, which may be one that has not been heard of. As above. */
int fabric_guest_put(struct fabric *f, const struct fabric_guest *g, const char *host);
void fabric_guest_del(struct fabric *f, unsigned int net, const uint8_t mac[6], uint64_t rev);
/*
 * All that is there is about to be put. What has not been by @grace_ms after the end is gone then.
 */
void fabric_sync_begin(struct fabric *f);
void fabric_sync_end(struct fabric *f, unsigned int grace_ms);

/* ---- fabric_wire.c: keys and values of a registry ---- */

#define FABRIC_KEY_MAX	 512
#define FABRIC_VALUE_MAX 65536

enum fabric_key { FABRIC_KEY_HOST, FABRIC_KEY_GUEST };

/* Behind the prefix: "/hosts/NAME", "/guests/NETWORK/MAC". New references; NULL: out of memory. */
char *fabric_host_key(const char *name);
char *fabric_guest_key(const struct lab *lab, const struct fabric_guest *g);
/* JSON text, the caller's to free(). */
char *fabric_host_value(const struct lab *lab);
char *fabric_guest_value(const char *host, const struct fabric_guest *g);

/**
 * fabric_key_parse() - What a key behind the prefix is about
 * @name:	Out: of a host
 * @g:		Out: net and mac of a guest
 *
 * Return: enum fabric_key; -ENOENT a network that is not in this lab; -EINVAL
 */
int fabric_key_parse(const struct lab *lab, const char *key, size_t size,
		     char name[LAB_NAME_MAX + 1], struct fabric_guest *g);
/*
 * @parts: by network of the lab, zeroed by the caller. Parts of networks that are not here, or not
 * routed, are passed over. 0 or -EINVAL with @why.
 */
int fabric_host_parse(const struct lab *lab, const char *text, size_t size, uint8_t addr[16],
		      uint8_t addr6[16], struct fabric_part *parts, char *why, size_t why_size);
int fabric_guest_parse(const char *text, size_t size, char host[LAB_NAME_MAX + 1],
		       struct fabric_guest *g, char *why, size_t why_size);
/* A host's address6 of the lab file; zeros: none. */
void fabric_lab_addr6(const struct lab_host *host, uint8_t addr6[16]);
/* Host @h's parts as the lab file has them, by network; zeroed by the caller. */
void fabric_lab_parts(const struct lab *lab, unsigned int h, struct fabric_part *parts);
/* "192.0.2.1" into 16 bytes. 0 or -EINVAL. */
int fabric_addr_parse(uint8_t addr[16], const char *text);

#endif

/* SPDX-License-Identifier: BSD-2-Clause */
/* File descriptors: closed once, passed over sockets, signalled. */
#ifndef HVLAB_BASE_FD_H
#define HVLAB_BASE_FD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>
#include <sys/types.h>

/* Closes *@fd if it is open, sets it to -1, keeps errno. */
void fd_close(int *fd);
void fd_close_all(int *fds, unsigned int n);
int fd_set_nonblock(int fd);

/**
 * fd_recv() - recvmsg() with SCM_RIGHTS
 * @fds:	Out: received descriptors, close-on-exec, the caller's to close
 * @n_fds:	In: room in @fds; out: how many came. What does not fit is closed.
 *
 * Return: bytes, 0 at end of file, -errno (-EAGAIN when nothing waits, with MSG_DONTWAIT)
 */
ssize_t fd_recv(int sock, void *buf, size_t size, int *fds, unsigned int *n_fds, int flags);

/* sendmsg() of @iov with @n_fds (0 is fine) descriptors. Return: bytes or -errno. */
ssize_t fd_send(int sock, const struct iovec *iov, unsigned int n_iov, const int *fds,
		unsigned int n_fds, int flags);

/*
 * A listening Unix stream socket at @path, mode 0600, non-blocking. An old socket file that
 * nobody serves is replaced. -EADDRINUSE when somebody does serve it, -ENAMETOOLONG.
 */
int fd_unix_listen(const char *path, int backlog);
int fd_unix_connect(const char *path);

/* eventfd add 1 / drain. An eventfd that is full already says what we wanted to say. */
void fd_event_signal(int fd);
void fd_event_drain(int fd);

#endif

# SPDX-License-Identifier: BSD-2-Clause
# Completion of hvlab for bash: commands, their options (from their help), files, VMs and NICs of
# the lab that is up.

_hvlab_names()		# vm or nic: names from the daemon, one a line; nothing when none runs
{
	hvlab status --json 2>/dev/null |
		if [ "$1" = vm ]; then
			sed -n '/^  "vms": /,/^  ]/s/^      "name": "\([A-Za-z0-9_-]*\)",*$/\1/p'
		else
			sed -n 's/^          "id": "\([A-Za-z0-9_/-]*\)",*$/\1/p'
		fi
}

_hvlab_second()		# commands of two words: the second, then what it is about
{
	local words="add del set list" word='' what=nic i

	[ "$1" = nic ] || words="revoke restore list"
	for ((i = 1; i < COMP_CWORD; i++)); do
		case " $words " in
		*" ${COMP_WORDS[i]} "*)
			word=${COMP_WORDS[i]}
			break
			;;
		esac
	done
	case $word in
	'')
		mapfile -t COMPREPLY < <(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}")
		return
		;;
	add | list)
		what=vm
		;;
	esac
	mapfile -t COMPREPLY < <(compgen -W "$(_hvlab_names $what)" -- "${COMP_WORDS[COMP_CWORD]}")
}

_hvlab_drill()		# the kind, then the target
{
	local kinds="revoke restore flap storm hotplug reset servicing migrate" kind='' what=nic i

	for ((i = 1; i < COMP_CWORD; i++)); do
		case " $kinds " in
		*" ${COMP_WORDS[i]} "*)
			kind=${COMP_WORDS[i]}
			break
			;;
		esac
	done
	if [ -z "$kind" ]; then
		mapfile -t COMPREPLY < <(compgen -W "$kinds" -- "${COMP_WORDS[COMP_CWORD]}")
		return
	fi
	case ${COMP_WORDS[COMP_CWORD - 1]} in
	--order)
		mapfile -t COMPREPLY < <(compgen -W "synthetic-first vf-first together" -- \
			"${COMP_WORDS[COMP_CWORD]}")
		return
		;;
	esac
	[ "$kind" != hotplug ] || what=vm
	mapfile -t COMPREPLY < <(compgen -W "$(_hvlab_names $what)" -- "${COMP_WORDS[COMP_CWORD]}")
}

_hvlab_policy()		# the second word, then files
{
	local words="apply show diff test remove" i

	for ((i = 1; i < COMP_CWORD; i++)); do
		case " $words " in
		*" ${COMP_WORDS[i]} "*)
			case ${COMP_WORDS[COMP_CWORD - 1]} in
			--nic)
				mapfile -t COMPREPLY < <(compgen -W "$(_hvlab_names nic)" -- \
					"${COMP_WORDS[COMP_CWORD]}")
				;;
			*)
				mapfile -t COMPREPLY < <(compgen -f -- "${COMP_WORDS[COMP_CWORD]}")
				;;
			esac
			return
			;;
		esac
	done
	mapfile -t COMPREPLY < <(compgen -W "$words" -- "${COMP_WORDS[COMP_CWORD]}")
}

_hvlab()
{
	local cur=${COMP_WORDS[COMP_CWORD]} cmd='' i
	local commands="up down check status exec console log stats flows drops capture events nic vf link migrate fabric policy explain drill
		compare reset raw version help"

	COMPREPLY=()
	for ((i = 1; i < COMP_CWORD; i++)); do
		case ${COMP_WORDS[i]} in
		--runtime-dir)
			((i++))
			;;
		-*)
			;;
		*)
			cmd=${COMP_WORDS[i]}
			break
			;;
		esac
	done
	if [ -z "$cmd" ]; then
		mapfile -t COMPREPLY < <(compgen -W "$commands --runtime-dir --verbose --help" -- "$cur")
		[ -n "$cur" ] || mapfile -t COMPREPLY < <(compgen -W "$commands")
		return
	fi
	case $cmd:${COMP_WORDS[COMP_CWORD - 1]} in
	flows:--state)
		mapfile -t COMPREPLY < <(compgen -W "new replied picked-up established closing
			time-wait reset cut" -- "$cur")
		return
		;;
	flows:--offloaded)
		mapfile -t COMPREPLY < <(compgen -W "yes no" -- "$cur")
		return
		;;
	esac
	if [[ $cur == -* ]]; then
		mapfile -t COMPREPLY < <(compgen -W "$(hvlab help "$cmd" 2>/dev/null |
			grep -o -- '--[a-z-]*' | sort -u) --help" -- "$cur")
		return
	fi
	case $cmd in
	up | check)
		mapfile -t COMPREPLY < <(compgen -f -- "$cur")
		;;
	help)
		mapfile -t COMPREPLY < <(compgen -W "$commands" -- "$cur")
		;;
	policy)
		_hvlab_policy
		;;
	drill)
		_hvlab_drill
		;;
	capture | stats | drops | compare | explain)
		mapfile -t COMPREPLY < <(compgen -W "$(_hvlab_names nic)" -- "$cur")
		;;
	flows)
		mapfile -t COMPREPLY < <(compgen -W "$(_hvlab_names nic) flush" -- "$cur")
		;;
	link)
		mapfile -t COMPREPLY < <(compgen -W "$(_hvlab_names nic) up down" -- "$cur")
		;;
	fabric)
		mapfile -t COMPREPLY < <(compgen -W "show" -- "$cur")
		;;
	nic | vf)
		_hvlab_second "$cmd"
		;;
	exec | console | log | migrate | reset)
		mapfile -t COMPREPLY < <(compgen -W "$(_hvlab_names vm)" -- "$cur")
		;;
	esac
}
complete -o filenames -F _hvlab hvlab

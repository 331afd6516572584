#!/bin/bash
#SBATCH --account=lab
#SBATCH --array=0-2%2
#SBATCH --constraint='a100|h100'
#SBATCH --cpus-per-task=8
#SBATCH --gpus-per-node=1
#SBATCH --job-name=my-study.TOKEN
#SBATCH --mail-type=FAIL
#SBATCH --mem=16G
#SBATCH --nodes=1
#SBATCH --open-mode=append
#SBATCH --output=/shared/study/.slurm/%A_%a_0_log.out
#SBATCH --partition=gpu
#SBATCH --qos=low
#SBATCH --requeue
#SBATCH --signal=USR2@120
#SBATCH --time=90

export OMP_NUM_THREADS="${SLURM_CPUS_PER_TASK:-1}"
module load cuda
srun --unbuffered --output /shared/study/.slurm/%A_%a_%t_log.out --open-mode=append --cpus-per-task=8 python -c 'import os, signal, sys; signal.pthread_sigmask(signal.SIG_BLOCK, [12, 15]); os.execv(sys.executable, [sys.executable, *sys.argv[1:]])' -u -m sweeps.launchers.slurm.job /shared/study/.slurm/submission-TOKEN.work

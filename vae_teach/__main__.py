from vae_teach.cli import main

main()
